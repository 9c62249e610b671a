// Data sets: files of rows, mapped into memory, and the transposing gather that presents a batch of them.
#ifndef NEUROPLAST_DATA_H
#define NEUROPLAST_DATA_H

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <map>
#include <string>
#include <vector>

#include "pool.h"
#include "random.h"
#include "state.h"
#include "tiles.h"

namespace neuroplast {

struct DataFile {
    std::string path;
    int64_t offset = 0, stride = 0, rows = 0;  // first byte, bytes from row to row, number of rows
    const char* data = nullptr;                // first row, once mapped
    std::vector<int32_t> order;                // the rows' order in one epoch
    int64_t ordered = -1;                      // that epoch
};

static std::map<std::string, DataFile> data_files;

// NAME=OFFSET,STRIDE,ROWS,PATH
static void data_argument(const std::string& text) {
    const size_t equals = text.find('=');
    DataFile& file = data_files[text.substr(0, equals)];
    int used = 0;
    long long offset, stride, rows;
    if (equals == std::string::npos ||
        std::sscanf(text.c_str() + equals + 1, "%lld,%lld,%lld,%n", &offset, &stride, &rows, &used) != 3 || !used)
        fail("--data takes NAME=OFFSET,STRIDE,ROWS,PATH. Got " + text);
    file.path = text.substr(equals + 1 + used);
    file.offset = offset, file.stride = stride, file.rows = rows;
}

// The rows of a data set, mapped when first asked for; each has `width` bytes.
static DataFile& data_file(const char* name, int64_t width) {
    DataFile& file = data_files[name];
    if (file.data) return file;
    if (file.path.empty()) fail("no file was given for " + std::string(name) + " (--data)");
    const int handle = open(file.path.c_str(), O_RDONLY);
    struct stat info;
    if (handle < 0 || fstat(handle, &info)) fail(std::string(name) + ": cannot open " + file.path);
    const int64_t end = file.offset + (file.rows - 1) * file.stride + width;
    if (info.st_size < end)
        fail(std::string(name) + ": " + file.path + " should hold " + std::to_string(end) + " bytes for " +
             std::to_string(file.rows) + " rows. It has " + std::to_string(info.st_size));
    void* const base = mmap(nullptr, end, PROT_READ, MAP_PRIVATE, handle, 0);
    if (base == MAP_FAILED) fail(std::string(name) + ": cannot map " + file.path);
    close(handle);
    file.data = static_cast<const char*>(base) + file.offset;
    return file;
}

// Rows of a batch. `permuted`: in an order that follows from seed, stream and epoch.
struct Batch {
    int64_t first, valid;
    const int32_t* order;
    int64_t row(int64_t copy) const { return order ? order[first + copy] : first + copy; }
};

static Batch batch_of(DataFile& file, const char* name, int64_t number, int64_t size, bool permuted, uint32_t stream,
                      int64_t epoch) {
    const int64_t batches = (file.rows + size - 1) / size;
    if (number >= batches)
        fail(std::string(name) + " has " + std::to_string(file.rows) + " rows, which make " + std::to_string(batches) +
             " batches of " + std::to_string(size) + ". Trial " + std::to_string(number) + " asks for another one");
    if (permuted && file.ordered != epoch) {
        file.order.resize(file.rows);
        permutation(stream, epoch, file.rows, file.order.data());
        file.ordered = epoch;
    }
    return Batch{number * size, std::min(size, file.rows - number * size), permuted ? file.order.data() : nullptr};
}

// out[j*width + i] = M[i*ld + j] for i < rows, j < columns. A vectorised one for single precision is in tiles.h.
template <typename T>
static void transpose(const T* M, int64_t ld, int64_t rows, int64_t columns, T* out, int64_t width) {
    for (int64_t j = 0; j < columns; j++)
        for (int64_t i = 0; i < rows; i++) out[j * width + i] = M[i * ld + j];
}

// out[feature*size + copy] = scale*row[feature] + shift; zero for copies beyond the valid ones. By tiles that stay in
// the first cache: rows are read along features, and written along copies.
template <typename From, typename To>
static void gather(const DataFile& file, const Batch& batch, int64_t features, int64_t size, To scale, To shift,
                   To* out) {
    const int64_t wide = 128, high = 32;  // features and copies of a tile
    const int64_t across = (features + wide - 1) / wide, tiles = across * ((size + high - 1) / high);
    const auto make = [&](int64_t t) {
        const int64_t f0 = t % across * wide, n = std::min(wide, features - f0);
        const int64_t c0 = t / across * high, copies = std::min(high, size - c0);
        alignas(64) To tile[high * wide];
        for (int64_t c = 0; c < copies; c++) {
            To* const to = tile + c * wide;
            if (c0 + c >= batch.valid) {
                std::fill(to, to + n, static_cast<To>(0));
                continue;
            }
            const char* const row = file.data + batch.row(c0 + c) * file.stride;
            const From* const from = reinterpret_cast<const From*>(row) + f0;
            for (int64_t f = 0; f < n; f++) to[f] = scale * static_cast<To>(from[f]) + shift;
        }
        transpose(tile, wide, copies, n, out + f0 * size + c0, size);
    };
    if (tiles > 4) parallel(tiles, make);
    else for (int64_t t = 0; t < tiles; t++) make(t);
}

// out[label*size + copy] = 1 for the label of each valid copy, else 0.
template <typename To>
static void one_hot(const DataFile& file, const Batch& batch, int64_t classes, int64_t size, To* out) {
    std::fill(out, out + classes * size, static_cast<To>(0));
    const int32_t* const labels = reinterpret_cast<const int32_t*>(file.data);
    for (int64_t c = 0; c < batch.valid; c++) out[labels[batch.row(c)] * size + c] = 1;
}

}  // namespace neuroplast

#endif
