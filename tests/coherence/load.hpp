// C clients that read and write through random replicas as fast as they are answered, and write down what they saw.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "tests/coherence/backend.hpp"
#include "tests/coherence/history.hpp"
#include "tests/coherence/proxies.hpp"

namespace larder::tests {

struct LoadOptions {
    int clients = 24;
    std::uint32_t items = 40;
    int write_per_mille = 30;
    int list_per_mille = 30;                          // of the reads
    int detail_per_mille = 200;                       // of the reads
    bool aliases = false;                             // percent-encoded and dotted forms of the same paths
    std::chrono::milliseconds patience{1'500};        // a read that takes longer is given up
    std::chrono::milliseconds long_patience{20'000};  // of one client in four, and of writes
};

class Load {
  public:
    Load(const LoadOptions& options, Proxies& proxies, std::uint64_t seed);
    ~Load();

    /// Answers received so far; may be asked while it runs.
    std::uint64_t reads() const { return reads_.load(std::memory_order_relaxed); }
    std::uint64_t hits() const { return hits_.load(std::memory_order_relaxed); }
    std::uint64_t failed_reads() const { return failed_reads_.load(std::memory_order_relaxed); }

    /// Lets what is under way end, for at most `limit`, and hands over what was recorded.
    History stop(std::chrono::milliseconds limit);

  private:
    struct Connection;
    struct Client;
    asio::awaitable<void> run_client(std::shared_ptr<Client> client);
    asio::awaitable<void> run_deadlines();
    asio::awaitable<void> run_health(int replica);
    asio::awaitable<void> read(Client& client, int replica);
    asio::awaitable<void> write(Client& client, int replica);
    asio::awaitable<bool> purge(Client& client, std::uint32_t item);
    asio::awaitable<bool> ask(Client& client, int replica, const std::string& request, Nanoseconds limit,
                              Incoming& answer, std::string& buffer);
    asio::awaitable<void> pause(std::chrono::milliseconds time);
    int choose_replica(Client& client);
    void take_read(const Incoming& answer, const Read& read, View view);
    std::uint16_t intern(std::string_view cache_status);
    std::string address(std::mt19937_64& random, View view, std::uint32_t item) const;

    LoadOptions options_;
    Proxies& proxies_;
    asio::io_context context_{1};
    History history_;
    std::unordered_map<std::string, std::uint16_t> status_numbers_;
    std::vector<std::shared_ptr<Client>> clients_;
    int running_ = 0;
    std::uint32_t last_write_id_ = 0;
    std::atomic<bool> stopping_{false};
    std::atomic<std::uint64_t> reads_{0}, hits_{0}, failed_reads_{0};
    std::thread thread_;
};

}  // namespace larder::tests
