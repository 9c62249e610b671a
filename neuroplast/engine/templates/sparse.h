// Sums over synapses of which many have no weight: only the others are multiplied.
//
// A panel of some copies is summed at a time. Its part of the presynaptic neurons is copied in blocks that fit the
// first cache; for each postsynaptic neuron the sums over a block stay in the registers, and each weight costs a
// broadcast and a product for each vector. Neurons of a block are taken in the order of how many weights they have in
// it: the processor then foresees where each list ends.
//
// Each element is the same sum in the same order, however the panels are shared out, and whatever the weights were
// before: which way it is made follows from the weights as they are.
#ifndef NEUROPLAST_SPARSE_H
#define NEUROPLAST_SPARSE_H

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <vector>

#include "pool.h"

// Keeps a vector that two products share in a register: it is loaded once, not once for each of them.
#ifdef __AVX512F__
#define NEUROPLAST_KEEP(vector) asm("" : "+v"(vector))
#else
#define NEUROPLAST_KEEP(vector) (void)0
#endif

namespace neuroplast {
// Unnamed, so that a translation unit compiled with other flags cannot lend its copies of the functions to another.
namespace {

// Neurons first, ..., stop - 1.
struct Range {
    int64_t first, stop;
};

// Weights that stay the same for several sums, and how often an operation has written them.
struct Weights {
    const void* data;
    int64_t changes;
};

// Those of the program, listed before the schedule runs.
inline std::vector<Weights>& lasting_weights()
{
    static std::vector<Weights> found;
    return found;
}

// To be called after an operation that writes the weights.
inline void weights_changed(int64_t number) { lasting_weights()[number].changes++; }

template <class T> class Sparse {
public:
    // The matrix of n_in x n_out weights from W, where weight (i, j) is W[i*ld + j], or W[j*ld + i] if `turned`.
    Sparse(const T* W, int64_t n_in, int64_t n_out, int64_t ld, bool turned)
        : W_(W), n_in_(n_in), n_out_(n_out), ld_(ld), turned_(turned), blocks_((n_in + block - 1) / block)
    {
        for (const Weights& each : lasting_weights())
            if (each.data == W) weights_ = &each;
    }

    // Whether the weights last for several sums and few enough of them are not zero; looks at them if they have
    // changed.
    bool suits()
    {
        if (weights_ != nullptr && seen_ != weights_->changes) look();
        return weights_ != nullptr && suits_;
    }

    // out = (or, with `add`, +=) the sums from the neurons in `filled`, all others are zero, onto those in `wanted`.
    // Neuron i of z and of out has its copies from i*copies on.
    void multiply(const std::vector<Range>& filled, const std::vector<Range>& wanted, const T* z, int64_t copies,
                  bool add, T* out) const
    {
        std::vector<char> chosen(n_out_, 0);
        for (const Range& part : wanted) std::fill(chosen.begin() + part.first, chosen.begin() + part.stop, 1);
        std::vector<int64_t> blocks;
        for (int64_t b = 0; b < blocks_; b++)
            for (const Range& part : filled)
                if (part.first < (b + 1) * block && b * block < part.stop) {
                    blocks.push_back(b);
                    break;
                }
        parallel((copies + width - 1) / width, [&](int64_t p) {
            const int64_t first = p * width, columns = std::min<int64_t>(width, copies - first);
            const auto make = columns > 3 * lanes ? &Sparse::panel<4> : columns > 2 * lanes ? &Sparse::panel<3>
                              : columns > lanes ? &Sparse::panel<2> : &Sparse::panel<1>;
            (this->*make)(blocks, chosen, z + first, copies, columns, add, out + first);
        });
    }

private:
    // Where more of the weights are there, the product of the whole matrix may take less time (measured with AVX-512,
    // guessed for others).
#ifdef __AVX512F__
    static constexpr double most_dense = 0.5;
#else
    static constexpr double most_dense = 0.3;
#endif
    static constexpr int64_t lanes = 64 / sizeof(T), width = 4 * lanes, block = 128;
    static constexpr int64_t sampled = 61;  // of so many rows, one tells that a matrix is dense
    typedef T Lanes __attribute__((vector_size(64)));
    typedef T LooseLanes __attribute__((vector_size(64), aligned(sizeof(T)), may_alias));

    const T* W_;
    int64_t n_in_, n_out_, ld_;
    bool turned_;
    int64_t blocks_;
    const Weights* weights_ = nullptr;
    int64_t seen_ = -1;
    bool suits_ = false;
    // By blocks of presynaptic neurons: postsynaptic neurons, and where their weights begin.
    std::vector<int32_t> neuron_;
    std::vector<int64_t> begin_;
    // Weights by twos, where in a copied block the neurons begin that they come from, and where they stand in W (-1:
    // the second of two is missing).
    std::vector<T> weight_;
    std::vector<uint16_t> place_;
    std::vector<int32_t> from_;

    int64_t at(int64_t i, int64_t j) const { return turned_ ? j * ld_ + i : i * ld_ + j; }

    // Weights from presynaptic neurons first, ..., stop - 1 that are not zero.
    int64_t count(int64_t first, int64_t stop) const
    {
        return turned_ ? count(0, n_out_, 1, first, stop) : count(first, stop, 1, 0, n_out_);
    }

    // The same of some rows and columns of W as it is stored.
    int64_t count(int64_t row, int64_t rows, int64_t step, int64_t column, int64_t columns) const
    {
        int64_t there = 0;
        for (; row < rows; row += step)
            for (int64_t c = column; c < columns; c++) there += W_[row * ld_ + c] != 0;
        return there;
    }

    // Takes the weights as they are now.
    void look()
    {
        seen_ = weights_->changes;
        const int64_t rows = turned_ ? n_out_ : n_in_, columns = turned_ ? n_in_ : n_out_;
        suits_ = count(0, rows, sampled, 0, columns) < most_dense * ((rows + sampled - 1) / sampled) * columns;
        if (!suits_) return;
        std::vector<int64_t> there(blocks_), taken(blocks_);
        parallel(blocks_, [&](int64_t b) {
            there[b] = count(b * block, std::min((b + 1) * block, n_in_));
            taken[b] = begin_.empty() ? -1 : take(b);
        });
        if (there == taken) return;  // the same synapses as before
        int64_t total = 0;
        for (int64_t each : there) total += each;
        suits_ = total < most_dense * n_in_ * n_out_;
        begin_.clear();
        if (suits_) pack();
    }

    // Takes the weights of a block's synapses; how many are not zero.
    int64_t take(int64_t b)
    {
        int64_t there = 0;
        for (int64_t w = begin_[b * n_out_]; w < begin_[(b + 1) * n_out_]; w++) {
            if (from_[w] < 0) continue;
            weight_[w] = W_[from_[w]];
            there += weight_[w] != 0;
        }
        return there;
    }

    void pack()
    {
        neuron_.clear(), weight_.clear(), place_.clear(), from_.clear();
        begin_.assign(1, 0);
        for (int64_t first = 0; first < n_in_; first += block) {
            const int64_t stop = std::min(first + block, n_in_);
            std::vector<std::pair<int64_t, int32_t>> order;
            for (int64_t j = 0; j < n_out_; j++) {
                int64_t there = 0;
                for (int64_t i = first; i < stop; i++) there += W_[at(i, j)] != 0;
                order.emplace_back((there + 1) / 2, j);
            }
            std::sort(order.begin(), order.end());
            for (const auto& each : order) {
                for (int64_t i = first; i < stop; i++)
                    if (W_[at(i, each.second)] != 0) add(at(i, each.second), (i - first) * width);
                if (weight_.size() % 2) add(-1, 0);
                neuron_.push_back(each.second);
                begin_.push_back(weight_.size());
            }
        }
    }

    void add(int64_t from, int64_t place)
    {
        weight_.push_back(from < 0 ? T(0) : W_[from]);
        place_.push_back(place);
        from_.push_back(from);
    }

    // Sums of at most `width` copies: `vectors` whole vectors, of which `columns` numbers are there.
    template <int vectors>
    void panel(const std::vector<int64_t>& blocks, const std::vector<char>& chosen, const T* z, int64_t copies,
               int64_t columns, bool add, T* out) const
    {
        alignas(64) T inputs[block * width];
        static thread_local std::vector<T> kept;
        kept.resize(std::max<size_t>(kept.size(), n_out_ * width + lanes));
        T* const sums = kept.data() + (64 - reinterpret_cast<uintptr_t>(kept.data()) % 64) / sizeof(T);
        const bool whole = columns == vectors * lanes;
        for (size_t n = 0; n < blocks.size(); n++) {
            const int64_t first = blocks[n] * block, rows = std::min(block, n_in_ - first);
            copy<vectors>(z + first * copies, copies, rows, columns, inputs);
            const bool last = n + 1 == blocks.size();
            for (int64_t e = blocks[n] * n_out_; e < (blocks[n] + 1) * n_out_; e++) {
                const int64_t j = neuron_[e];
                if (!chosen[j]) continue;
                T *const sum = sums + j * width, *const target = out + j * copies;
                Lanes a[vectors], b[vectors];
                if (n == 0 && add) std::copy_n(target, columns, sum);
#pragma GCC unroll 4
                for (int v = 0; v < vectors; v++) {
                    a[v] = n || add ? *reinterpret_cast<const Lanes*>(sum + v * lanes) : Lanes{};
                    b[v] = Lanes{};
                }
                for (int64_t w = begin_[e]; w < begin_[e + 1]; w += 2) {
                    const T *x = inputs + place_[w], *y = inputs + place_[w + 1];
                    asm("" : "+r"(x), "+r"(y));  // as addresses that need no adding up in each vector's product
                    Lanes f = Lanes{} + weight_[w], g = Lanes{} + weight_[w + 1];
                    NEUROPLAST_KEEP(f);
                    NEUROPLAST_KEEP(g);
#pragma GCC unroll 4
                    for (int v = 0; v < vectors; v++) {
                        a[v] += f * *reinterpret_cast<const Lanes*>(x + v * lanes);
                        b[v] += g * *reinterpret_cast<const Lanes*>(y + v * lanes);
                    }
                }
                T* const to = last && whole ? target : sum;
#pragma GCC unroll 4
                for (int v = 0; v < vectors; v++) *reinterpret_cast<LooseLanes*>(to + v * lanes) = a[v] + b[v];
                if (last && !whole) std::copy_n(sum, columns, target);
            }
        }
    }

    // A panel of a block's neurons, one behind the other.
    template <int vectors>
    static void copy(const T* z, int64_t copies, int64_t rows, int64_t columns, T* to)
    {
        for (int64_t i = 0; i < rows; i++, z += copies, to += width)
            if (columns == vectors * lanes)
#pragma GCC unroll 4
                for (int v = 0; v < vectors; v++)
                    *reinterpret_cast<Lanes*>(to + v * lanes) = *reinterpret_cast<const LooseLanes*>(z + v * lanes);
            else {
                std::copy_n(z, columns, to);
                std::fill(to + columns, to + vectors * lanes, T(0));
            }
    }
};

}  // namespace
}  // namespace neuroplast

#endif
