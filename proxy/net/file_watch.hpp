// Tells when a file may have become another one: written in place, replaced by a rename, or swapped under a symlink as
// Kubernetes does with a mounted ConfigMap (`..data`). Says so rather too often than too seldom: who asks compares.
#pragma once

#include <sys/stat.h>

#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "proxy/net/asio.hpp"

namespace larder::proxy {

/// Single-threaded: belongs to its io_context, which must not run any more after the watch is destroyed.
class FileWatch {
  public:
    /// From the last sign of a change to the call: a change is often several (a write, a rename, a chmod).
    static constexpr std::chrono::milliseconds settle_time{200};
    /// Where the kernel tells nothing (network file systems, other symlinks), this is how soon a change is seen.
    static constexpr std::chrono::milliseconds poll_time{2'000};

    /// @param changed  called on the io_context's thread
    FileWatch(asio::io_context& context, std::string path, std::function<void()> changed);
    ~FileWatch();
    FileWatch(const FileWatch&) = delete;
    FileWatch& operator=(const FileWatch&) = delete;

    /// False: the kernel gives no notices here (`why_not`), so that the file is polled alone.
    bool has_notices() const noexcept { return notices_.is_open(); }
    const std::string& why_not() const noexcept { return why_not_; }

  private:
    /// What tells one state of the file from another without reading it.
    struct Look {
        bool exists = false;
        dev_t device = 0;
        ino_t inode = 0;
        off_t bytes = 0;
        timespec modified{};
        bool operator==(const Look& other) const noexcept;
    };
    Look look() const noexcept;
    void open_notices();
    void wait_for_notice();
    void poll();
    void settle();

    std::string path_;
    std::function<void()> changed_;
    std::string why_not_;
    asio::posix::stream_descriptor notices_;
    std::vector<char> buffer_ = std::vector<char>(4096);
    asio::steady_timer poll_timer_, settle_timer_;
    Look last_;
    int signs_ = 0;  // since the last call
};

}  // namespace larder::proxy
