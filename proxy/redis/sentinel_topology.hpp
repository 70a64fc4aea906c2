// Redis behind Sentinel: more than half of the sentinels are asked for the master, and one of them is listened to, so
// that a failover is known at once. COHERENCE section 6: a deposed master must not be asked anything.
#pragma once

#include <optional>

#include "proxy/redis/asked_topology.hpp"
#include "proxy/redis/sentinel_answers.hpp"

namespace larder::proxy {

class SentinelTopology final : public AskedTopology {
  public:
    SentinelTopology(asio::io_context& context, DeadlineWheel& wheel, const config::Store& store, const TlsContext* tls,
                     Counters& counters);
    std::size_t start(Tasks& tasks) override;

  private:
    asio::awaitable<std::string> ask() override;
    const config::Endpoint* server_of(std::size_t) const noexcept override
    {
        return master_ ? &master_->master : nullptr;
    }
    std::string nobody_serves(std::size_t) const override;
    void note(const Redirect&, const config::Endpoint&) override {}
    bool only_answers_count() const noexcept override { return true; }

    struct Said {
        std::string trouble;  // empty: `answer` is there
        MasterAnswer answer;
    };
    asio::awaitable<Said> ask_one(config::Endpoint sentinel);
    asio::awaitable<void> run_watch();
    asio::awaitable<std::string> watch(config::Endpoint sentinel);
    void heard(const config::Endpoint& master, const config::Endpoint& sentinel);
    void put_first(const config::Endpoint& sentinel);
    void log_watch(const config::Endpoint& sentinel, std::string_view trouble);

    std::vector<config::Endpoint> sentinels_;  // in the order in which they are asked: who answers comes first
    std::optional<MasterAnswer> master_;
    std::size_t watches_failed_count_ = 0;  // in a row
};

}  // namespace larder::proxy
