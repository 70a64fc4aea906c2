// A TCP gate between one replica and its store: passes bytes, delays them, cuts, or holds them and delivers later.
#pragma once

#include <boost/asio/io_context.hpp>
#include <cstdint>
#include <memory>
#include <thread>
#include <vector>

#include "tests/coherence/http.hpp"

namespace larder::tests {

class Gate {
  public:
    enum class Mode : std::uint8_t {
        open,
        slow,  // each piece a `delay` later, in order
        shut,  // connections are reset, new ones too
        held,  // nothing passes and nobody is told; when it is open again all of it is delivered, in order, even from
               // ends that have given up
    };
    explicit Gate(std::uint16_t target_port);
    ~Gate();

    std::uint16_t port() const { return port_; }
    void set(Mode mode, std::chrono::milliseconds delay = std::chrono::milliseconds{0});

  private:
    struct Pair;
    asio::awaitable<void> run_listener();
    asio::awaitable<void> run_pair(std::shared_ptr<Pair> pair);
    asio::awaitable<void> pump(std::shared_ptr<Pair> pair, tcp::socket& from, tcp::socket& to);
    asio::awaitable<void> pause(std::chrono::milliseconds time);

    asio::io_context context_{1};
    tcp::acceptor acceptor_;
    std::uint16_t port_ = 0;
    tcp::endpoint target_;
    Mode mode_ = Mode::open;
    std::chrono::milliseconds delay_{0};
    std::vector<std::weak_ptr<Pair>> pairs_;
    std::thread thread_;
};

}  // namespace larder::tests
