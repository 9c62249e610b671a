// Recordings: streams of bytes to files, and which records of a monitor are wanted.
#ifndef NEUROPLAST_RECORD_H
#define NEUROPLAST_RECORD_H

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <string>
#include <vector>

#include "state.h"

namespace neuroplast {

struct Stream;
static std::vector<Stream*> streams;  // those that have been written to

// Appends to a file through a buffer: what is recorded takes no more memory than that, however long a run is.
struct Stream {
    static constexpr size_t size = size_t(1) << 16;
    const char* name;  // monitor.variable
    char* buffer = nullptr;
    size_t room = 0, used = 0;
    int handle = -1;

    constexpr explicit Stream(const char* file) : name(file) {}

    void put(const void* data, size_t bytes) {
        if (bytes > room) return put_beyond(static_cast<const char*>(data), bytes);
        std::memcpy(buffer + used, data, bytes);
        used += bytes, room -= bytes;
    }

    __attribute__((noinline)) void put_beyond(const char* data, size_t bytes) {
        if (handle < 0) open();
        flush();
        if (bytes > size) return write(data, bytes);
        put(data, bytes);
    }

    void open() {
        handle = ::open(path().c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        if (handle < 0) cannot_write(path());
        buffer = static_cast<char*>(std::malloc(size));
        if (!buffer) fail("no memory left to record " + std::string(name));
        streams.push_back(this);
    }

    void flush() {
        write(buffer, used);
        used = 0, room = size;
    }

    void write(const char* data, size_t bytes) {
        while (bytes > 0) {
            const ssize_t written = ::write(handle, data, bytes);
            if (written < 0 && errno == EINTR) continue;
            if (written < 0) cannot_write(path());
            data += written, bytes -= written;
        }
    }

    std::string path() const { return out_dir + "/" + name; }
};

NP_ONCE static void flush_streams() {
    for (Stream* stream : streams) {
        stream->flush();
        if (::close(stream->handle)) cannot_write(stream->path());
    }
}

// Which records of one monitor in one node are wanted.
struct Selection {
    const char *monitor, *node;
    int32_t every = 1, first = 0, last = INT32_MAX;
    bool all = true;           // trials, numbered over all epochs
    std::vector<char> trials;  // whether a trial is wanted, if not all are

    Selection(const char* of, const char* in) : monitor(of), node(in) {}

    bool trial_wanted(int32_t trial) const { return all || ((size_t)trial < trials.size() && trials[trial]); }
    bool in_phase(int32_t k, int32_t trial) const {
        return k >= first && k < last && (every == 1 || (k + 1) % every == 0) && trial_wanted(trial);
    }
    bool in_event(int32_t trial) const { return (every == 1 || (trial + 1) % every == 0) && trial_wanted(trial); }
};

// Lines of: monitor node every first last n trial_1 ... trial_n; n is -1 for all trials.
NP_ONCE static void read_selections(const std::string& path, const std::vector<Selection*>& selections) {
    std::ifstream file(path);
    std::string monitor, node;
    while (file >> monitor >> node) {
        Selection* found = nullptr;
        for (Selection* selection : selections)
            if (monitor == selection->monitor && node == selection->node) found = selection;
        if (!found) fail("nothing is recorded by " + monitor + " in " + node);
        int64_t n = -1, trial = 0;
        file >> found->every >> found->first >> found->last >> n;
        found->all = n < 0;
        for (; n > 0 && file >> trial; n--) {
            if ((size_t)trial >= found->trials.size()) found->trials.resize(trial + 1);
            found->trials[trial] = 1;
        }
        if (!file) fail(path + " is no list of selections");
    }
    if (!file.eof()) fail("cannot read " + path);
}

}  // namespace neuroplast

#endif
