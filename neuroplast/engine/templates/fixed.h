// Sums over synapses whose weights never change and of which many are zero: only the others are multiplied.
//
// A panel of some copies is summed at a time. Its part of the presynaptic neurons is copied in blocks that fit the first
// cache; for each postsynaptic neuron the sums over a block stay in the registers, and each weight costs a broadcast
// and a product for each vector. Neurons of a block are taken in the order of how many weights they have in it: the
// processor then foresees where each list ends.
//
// Each element is the same sum in the same order, however the panels are shared out.
#ifndef NEUROPLAST_FIXED_H
#define NEUROPLAST_FIXED_H

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <vector>

#include "pool.h"

namespace neuroplast {
// Unnamed, so that a translation unit compiled with other flags cannot lend its copies of the functions to another.
namespace {

// Neurons first, ..., stop - 1.
struct Range {
    int64_t first, stop;
    int64_t size() const { return stop - first; }
};

// Weights in arrays of the program that no operation writes; filled before the schedule runs.
inline std::vector<const void*>& fixed_weights()
{
    static std::vector<const void*> found;
    return found;
}

template <class T> class Fixed {
public:
    // The matrix of n_in x n_out weights from W, where weight (i, j) is W[i*ld + j], or W[j*ld + i] if `turned`.
    Fixed(const T* W, int64_t n_in, int64_t n_out, int64_t ld, bool turned) : n_in_(n_in), n_out_(n_out)
    {
        const auto& known = fixed_weights();
        if (std::find(known.begin(), known.end(), static_cast<const void*>(W)) == known.end()) return;
        auto weight = [=](int64_t i, int64_t j) { return turned ? W[j * ld + i] : W[i * ld + j]; };
        int64_t there = 0;
        for (int64_t i = 0; i < n_in; i++)
            for (int64_t j = 0; j < n_out; j++) there += weight(i, j) != 0;
        sparse_ = there < most_dense * n_in * n_out;
        for (int64_t begin = 0; sparse_ && begin < n_in; begin += block) pack(begin, weight);
    }

    // Whether the weights are fixed, and few enough of them are not zero.
    bool sparse() const { return sparse_; }

    // out = (or, with `add`, +=) the sums onto the neurons in `wanted`, from those in `filled`: all others are zero.
    // Neuron i of z and of out has its copies from i*copies on.
    void multiply(const std::vector<Range>& wanted, const std::vector<Range>& filled, const T* z, int64_t copies, bool add,
                  T* out) const
    {
        std::vector<char> chosen(n_out_, 0);
        for (const Range& part : wanted) std::fill(chosen.begin() + part.first, chosen.begin() + part.stop, 1);
        std::vector<int64_t> blocks;
        for (int64_t b = 0; b * block < n_in_; b++)
            for (const Range& part : filled)
                if (part.first < (b + 1) * block && b * block < part.stop) {
                    blocks.push_back(b);
                    break;
                }
        parallel((copies + width - 1) / width, [&](int64_t p) {
            const int64_t first = p * width, columns = std::min<int64_t>(width, copies - first);
            const auto make = columns > 3 * lanes ? &Fixed::panel<4> : columns > 2 * lanes ? &Fixed::panel<3>
                              : columns > lanes ? &Fixed::panel<2> : &Fixed::panel<1>;
            (this->*make)(blocks, chosen, z + first, copies, columns, add, out + first);
        });
    }

private:
    // Where more of the weights are there, the product of the whole matrix takes less time.
    static constexpr double most_dense = 0.5;
    static constexpr int64_t lanes = 64 / sizeof(T), width = 4 * lanes, block = 128;
    typedef T Lanes __attribute__((vector_size(64)));
    typedef T LooseLanes __attribute__((vector_size(64), aligned(sizeof(T)), may_alias));

    int64_t n_in_, n_out_;
    bool sparse_ = false;
    // By blocks of presynaptic neurons: postsynaptic neurons, where their weights begin, the weights by twos, and where
    // in a copied block the neurons begin that these come from.
    std::vector<int32_t> neuron_;
    std::vector<int64_t> begin_{0};
    std::vector<T> weight_;
    std::vector<uint16_t> place_;

    template <class Weight> void pack(int64_t begin, const Weight& weight)
    {
        const int64_t stop = std::min(begin + block, n_in_);
        std::vector<std::pair<int64_t, int32_t>> order;
        for (int64_t j = 0; j < n_out_; j++) {
            int64_t count = 0;
            for (int64_t i = begin; i < stop; i++) count += weight(i, j) != 0;
            order.emplace_back((count + 1) / 2, j);
        }
        std::sort(order.begin(), order.end());
        for (const auto& each : order) {
            for (int64_t i = begin; i < stop; i++)
                if (weight(i, each.second) != 0) {
                    weight_.push_back(weight(i, each.second));
                    place_.push_back((i - begin) * width);
                }
            if (weight_.size() % 2) {
                weight_.push_back(0);
                place_.push_back(0);
            }
            neuron_.push_back(each.second);
            begin_.push_back(weight_.size());
        }
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
                T* const sum = sums + j * width;
                T* const target = out + j * copies;
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
                    asm("" : "+v"(f), "+v"(g));  // loaded once, not once for each vector
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
