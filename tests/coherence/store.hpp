// The store under test: one Redis, or several behind Sentinel or as a Cluster, and what can be done to them.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace larder::tests {

enum class StoreKind : std::uint8_t { single, sentinel, cluster };

class StoreUnderTest {
  public:
    virtual ~StoreUnderTest() = default;
    /// As it stands in `store:`.
    virtual std::string url() const = 0;
    /// The same through a gate.
    virtual std::string url_through(std::uint16_t gate_port) const = 0;
    /// Where a gate leads to; 0: there is no single place.
    virtual std::uint16_t port() const = 0;

    virtual void kill() = 0;   // the present master, or one of them
    virtual void start() = 0;  // what was killed, on the same address, with what its last SAVE kept
    virtual void stop() = 0;   // SIGSTOP
    virtual void go_on() = 0;
    /// To every master; the replies one after another.
    virtual std::string command(const std::vector<std::string>& words) = 0;
    /// A planned or forced change of the master, seen through to its end. Only where there is one.
    virtual void fail_over() {}
};

std::unique_ptr<StoreUnderTest> make_store(StoreKind kind);

}  // namespace larder::tests
