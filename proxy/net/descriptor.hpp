// A file descriptor that is closed by whoever owns it last.
#pragma once

#include <unistd.h>

#include <utility>

namespace larder::proxy {

class Descriptor {
  public:
    Descriptor() noexcept = default;
    explicit Descriptor(int fd) noexcept : fd_(fd) {}
    Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
    Descriptor& operator=(Descriptor&& other) noexcept
    {
        std::swap(fd_, other.fd_);
        return *this;
    }
    ~Descriptor() { close(); }

    int get() const noexcept { return fd_; }
    explicit operator bool() const noexcept { return fd_ >= 0; }
    void close() noexcept
    {
        if (const int fd = std::exchange(fd_, -1); fd >= 0) ::close(fd);
    }

  private:
    int fd_ = -1;
};

}  // namespace larder::proxy
