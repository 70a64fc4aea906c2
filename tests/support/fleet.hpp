// Several replicas of Larder on one Redis, before one origin: what stories about sharing are played on.
#pragma once

#include "tests/support/stage.hpp"

namespace larder::tests {

class Fleet {
  public:
    explicit Fleet(const std::string& rules, std::size_t replicas_count = 4, const std::string& options = "");

    ScriptedOrigin origin;
    RedisProcess redis;
    std::vector<std::unique_ptr<LarderProcess>> replicas;

    /// One request to one replica, on a connection of its own.
    Response request(std::size_t replica, const std::string& method, const std::string& target,
                     const std::vector<std::string>& fields = {}, const std::string& body = "");
    Response get(std::size_t replica, const std::string& target, const std::vector<std::string>& fields = {})
    {
        return request(replica, "GET", target, fields);
    }
    std::future<Response> start_get(std::size_t replica, const std::string& target,
                                    const std::vector<std::string>& fields = {});
    /// Sum of a metric over all replicas that run.
    double metric(const std::string& name, const std::string& labels = "");
    /// What stands in the lease of a key: its owner, "U ..." or nothing.
    std::string lease(const std::string& key) const;
};

/// Many clients who ask at once, each on a connection of its own, in turn at each replica of a fleet.
class Crowd {
  public:
    Crowd(Fleet& fleet, std::size_t count);
    /// Sends one GET from each.
    void ask(const std::string& target);
    std::vector<Response> read();

  private:
    std::vector<std::unique_ptr<HttpClient>> clients_;
};

}  // namespace larder::tests
