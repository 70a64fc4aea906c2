// The caches under test: M instances in front of one backend. Larder, or what a team would use without it, with the
// purges that its application would then send.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "tests/support/child_process.hpp"

namespace larder::tests {

inline constexpr int replicas_count = 3;

/// Where the instances listen now; 0 while one is down. Written by the director, read by the clients.
using Ports = std::array<std::atomic<std::uint16_t>, replicas_count>;

struct PurgeRequest {
    int replica = 0;
    std::string text;  // a whole HTTP request
};

class Proxies {
  public:
    virtual ~Proxies() = default;
    virtual std::string name() const = 0;
    virtual void start(int replica) = 0;
    virtual void kill(int replica) = 0;
    const Ports& ports() const { return ports_; }
    ChildProcess& process(int replica) { return *processes_[static_cast<std::size_t>(replica)]; }
    /// To all processes of the instance.
    virtual void signal(int replica, int number) { process(replica).signal(number); }
    /// Where the instance tells of its health; 0: nowhere.
    virtual std::uint16_t admin_port(int) const { return 0; }
    /// What the application must send, and have answered, after the backend has answered a write to the item and
    /// before it tells anybody.
    virtual std::vector<PurgeRequest> purges_after_write(std::uint32_t) const { return {}; }

  protected:
    Ports ports_{};
    std::array<std::unique_ptr<ChildProcess>, replicas_count> processes_;
};

struct LarderOptions {
    std::string binary;  // empty: the one of this build
    std::chrono::milliseconds trust{0};
    std::chrono::milliseconds store_timeout{2000};
    std::chrono::milliseconds first_byte_timeout{2000};
    std::string on_store_error = "forward";
    std::string fence = "both";
    std::string memory = "64MiB";
    int workers = 1;
    std::vector<std::string> environment;
    std::string options;  // further top-level options, whole lines
};

/// @param store_yaml  by replica, because one may reach the store through a gate: the section `store:`
std::unique_ptr<Proxies> make_larders(const LarderOptions& options, std::uint16_t backend_port,
                                      std::function<std::string(int)> store_yaml);
std::unique_ptr<Proxies> make_nginxes(std::uint16_t backend_port);
std::unique_ptr<Proxies> make_varnishes(std::uint16_t backend_port);

}  // namespace larder::tests
