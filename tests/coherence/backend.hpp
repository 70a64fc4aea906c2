// The backend whose every answer carries a version. It reads its own writes: a read that begins after a commit shows
// it. How long before and after it answers, and whether it answers at all, is chance.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "tests/coherence/history.hpp"
#include "tests/coherence/http.hpp"

namespace larder::tests {

struct BackendOptions {
    std::uint32_t items = 40;
    std::chrono::microseconds usual_delay{4'000};  // before and after the value is read or changed, at most
    std::chrono::microseconds long_delay{25'000};  // the same, one time in twenty
    std::size_t padding_bytes = 0;                 // of each item's body
    // of a thousand writes so many are committed and then ...
    int fail_per_mille = 0;   // answered with 500
    int hang_per_mille = 0;   // not answered within `hang`
    int reset_per_mille = 0;  // cut off
    int late_per_mille = 0;   // ... or committed only after `hang`: the client has its 504 by then
    std::chrono::milliseconds hang{0};
};

/// The ways to ask for an item. `list` shows every item at once.
enum class View : std::uint8_t { item, detail, list };

/// Where a write is, seen from the backend.
enum class Phase : std::uint8_t { arrived, committed, answered };

class VersionedBackend {
  public:
    VersionedBackend(const BackendOptions& options, std::uint64_t seed);
    ~VersionedBackend();

    std::uint16_t port() const { return port_; }
    /// When a write of this replica reaches this phase next, `act` is called once, on the backend's thread.
    void trap(Phase phase, int replica, std::function<void()> act);
    /// True while a trap is set and has not been sprung.
    bool trapped() const { return trap_replica_.load() >= 0; }
    /// Ends all traffic; what was committed, in order.
    std::vector<Commit> stop();

  private:
    asio::awaitable<void> run_listener();
    asio::awaitable<void> serve(tcp::socket socket);
    asio::awaitable<bool> serve_read(tcp::socket& socket, std::string path);
    asio::awaitable<bool> serve_write(tcp::socket& socket, std::string path, std::uint32_t write_id, int replica);
    asio::awaitable<void> pause(std::chrono::microseconds time);
    asio::awaitable<void> pause_by_chance();
    void spring(Phase phase, int replica);
    bool chance(int per_mille) { return static_cast<int>(random_() % 1000) < per_mille; }

    BackendOptions options_;
    std::mt19937_64 random_;
    asio::io_context context_{1};
    tcp::acceptor acceptor_;
    std::uint16_t port_ = 0;
    std::vector<std::uint32_t> versions_;
    std::vector<Commit> commits_;
    std::string padding_;
    std::atomic<int> trap_replica_{-1};
    Phase trap_phase_{};
    std::function<void()> trap_act_;
    std::thread thread_;
};

}  // namespace larder::tests
