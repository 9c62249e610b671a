// Products of shared kernels: the patches that positions see are gathered in panels of some rows of a map, which stay in
// the cache, and multiplied there.
#ifndef NEUROPLAST_CONV_H
#define NEUROPLAST_CONV_H

#include <algorithm>
#include <cstdint>
#include <vector>

#include "gemm.h"

namespace neuroplast {
// Unnamed, so that a translation unit compiled with other flags cannot lend its copies of the functions to another.
namespace {

// A receptive field: (channels, rows, columns) of the image, of the kernel, steps, zeros around, positions.
struct Field {
    int64_t channels, rows, columns, high, wide, down, across, above, left, map_rows, map_columns;
    int64_t offsets() const { return channels * high * wide; }
    int64_t positions() const { return map_rows * map_columns; }
};

// Rows of a map whose patches are gathered together: numbers of a patch's element that lie next to each other.
const int64_t enough_columns = 1024;

struct Panels {
    int64_t rows, number;  // of a map in each; panels
    Panels(const Field& f, int64_t copies)
        : rows(std::min(f.map_rows, std::max<int64_t>(1, enough_columns / (f.map_columns * copies)))),
          number((f.map_rows + rows - 1) / rows)
    {}
    int64_t first(int64_t panel) const { return panel * rows; }
    int64_t last(const Field& f, int64_t panel) const { return std::min((panel + 1) * rows, f.map_rows); }
};

// Positions of a row whose element of the patch lies `shift` columns from the beginning of the field inside the image.
inline void inside(const Field& f, int64_t shift, int64_t& first, int64_t& stop)
{
    const int64_t from = f.left - shift, to = f.columns + f.left - shift;  // of position*across
    first = std::min(f.map_columns, from <= 0 ? 0 : (from + f.across - 1) / f.across);
    stop = std::max(first, std::min(f.map_columns, to <= 0 ? 0 : (to + f.across - 1) / f.across));
}

// out[offset][position and copy], for the rows of the map from `first` to before `last`; `ld` apart.
template <class T>
inline void gather(const Field& f, int64_t copies, const T* image, int64_t first, int64_t last, T* out)
{
    for (int64_t c = 0; c < f.channels; c++)
        for (int64_t i = 0; i < f.high; i++)
            for (int64_t j = 0; j < f.wide; j++) {
                int64_t begin, stop;
                inside(f, j, begin, stop);
                for (int64_t row = first; row < last; row++, out += f.map_columns * copies) {
                    const int64_t y = row * f.down + i - f.above;
                    if (y < 0 || y >= f.rows) {
                        std::fill(out, out + f.map_columns * copies, T(0));
                        continue;
                    }
                    const T* const line = image + (c * f.rows + y) * f.columns * copies;
                    std::fill(out, out + begin * copies, T(0));
                    if (f.across == 1)
                        std::copy_n(line + (begin + j - f.left) * copies, (stop - begin) * copies, out + begin * copies);
                    else
                        for (int64_t column = begin; column < stop; column++)
                            std::copy_n(line + (column * f.across + j - f.left) * copies, copies, out + column * copies);
                    std::fill(out + stop * copies, out + f.map_columns * copies, T(0));
                }
            }
}

// The reverse, for one channel: what belongs to a neuron of the image is added to it.
template <class T>
inline void spread(const Field& f, int64_t copies, const T* patches, int64_t first, int64_t last, int64_t channel,
                   T* image)
{
    const int64_t width = f.map_columns * copies;
    const T* from = patches + channel * f.high * f.wide * (last - first) * width;
    for (int64_t i = 0; i < f.high; i++)
        for (int64_t j = 0; j < f.wide; j++) {
            int64_t begin, stop;
            inside(f, j, begin, stop);
            for (int64_t row = first; row < last; row++, from += width) {
                const int64_t y = row * f.down + i - f.above;
                if (y < 0 || y >= f.rows) continue;
                T* const line = image + (channel * f.rows + y) * f.columns * copies;
                for (int64_t column = begin; column < stop; column++) {
                    T* const to = line + (column * f.across + j - f.left) * copies;
                    for (int64_t copy = 0; copy < copies; copy++) to[copy] += from[column * copies + copy];
                }
            }
        }
}

// Room for the patches of a panel, one for each thread.
template <class T> inline T* patch_buffer(int64_t size)
{
    static thread_local std::vector<T> room;
    if ((int64_t)room.size() < size) room.resize(size);
    return room.data();
}

// Sums onto the neurons of the maps, out (channels x positions x copies) = W^T patches; W is (offsets x channels).
template <class T>
inline void conv_onto_post(const Field& f, int64_t copies, int64_t channels, const T* W, const T* image, bool add, T* out)
{
    const Panels panels(f, copies);
    const int64_t width = f.map_columns * copies, ld = f.map_rows * width;
    parallel(panels.number, [&](int64_t panel) {
        const int64_t first = panels.first(panel), last = panels.last(f, panel), n = (last - first) * width;
        T* const patches = patch_buffer<T>(f.offsets() * n);
        gather(f, copies, image, first, last, patches);
        gemm<T>(true, false, channels, n, f.offsets(), 1, W, channels, patches, n, T(add), out + first * width, ld);
    });
}

// Sums onto the neurons of the image, out (pixels x copies) = for each pixel, W delta over the patches that it is in.
template <class T>
inline void conv_onto_pre(const Field& f, int64_t copies, int64_t channels, const T* W, const T* delta, bool add, T* out)
{
    const Panels panels(f, copies);
    const int64_t width = f.map_columns * copies, ld = f.map_rows * width;
    if (!add) std::fill(out, out + f.channels * f.rows * f.columns * copies, T(0));
    T* const patches = patch_buffer<T>(f.offsets() * panels.rows * width);
    for (int64_t panel = 0; panel < panels.number; panel++) {  // neighbours overlap: one after the other
        const int64_t first = panels.first(panel), last = panels.last(f, panel), n = (last - first) * width;
        gemm<T>(false, false, f.offsets(), n, channels, 1, W, channels, delta + first * width, ld, 0, patches, n);
        parallel(f.channels, [&](int64_t c) { spread(f, copies, patches, first, last, c, out); });
    }
}

// Sums over positions and copies, out (offsets x channels) = scale patches delta^T + keep out. Each panel's sum is made
// apart, and then they are added up in their order. `delta(first, n, room, ld)` is the changes of all channels at the
// `n` positions and copies from the first on, `ld` apart; it may write them into the room.
template <class T, class Changes>
inline void conv_accumulate(const Field& f, int64_t copies, int64_t channels, T scale, const T* image,
                            const Changes& delta, T keep, T* out)
{
    const Panels panels(f, copies);
    const int64_t width = f.map_columns * copies, size = f.offsets() * channels;
    std::vector<T> parts(panels.number * size);
    parallel(panels.number, [&](int64_t panel) {
        const int64_t first = panels.first(panel), last = panels.last(f, panel), n = (last - first) * width;
        T* const patches = patch_buffer<T>((f.offsets() + channels) * n);
        gather(f, copies, image, first, last, patches);
        int64_t ld = 0;
        const T* const changes = delta(first * width, n, patches + f.offsets() * n, ld);
        gemm<T>(false, true, f.offsets(), channels, n, scale, patches, n, changes, ld, 0,
                parts.data() + panel * size, channels);
    });
    for (int64_t e = 0; e < size; e++) {
        T total = 0;
        for (int64_t panel = 0; panel < panels.number; panel++) total += parts[panel * size + e];
        out[e] = keep == 0 ? total : keep * out[e] + total;
    }
}

}  // namespace
}  // namespace neuroplast

#endif
