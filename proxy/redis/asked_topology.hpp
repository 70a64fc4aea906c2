// What a topology that must ask has in common, whomever it asks: one question under way for all links of the worker,
// not more often than every 250 ms, and whoever waits is answered by one that began after the wait.
#pragma once

#include <memory>
#include <vector>

#include "proxy/net/wake_up.hpp"
#include "proxy/redis/locator.hpp"
#include "proxy/redis/side_connection.hpp"

namespace larder::proxy {

/// Single-threaded. The io_context must not run any more after it is destroyed.
class AskedTopology : public Topology {
  public:
    AskedTopology(asio::io_context& context, DeadlineWheel& wheel, const config::Store& store, const TlsContext* tls,
                  Counters& counters, std::size_t shards);
    ~AskedTopology() override;
    AskedTopology(const AskedTopology&) = delete;
    AskedTopology& operator=(const AskedTopology&) = delete;

    Locator& locator(std::size_t shard) override;
    std::size_t start(Tasks& tasks) override;
    void stop() noexcept override;

  protected:
    /// Asks. Ends by deadlines, and soon after `stop`. What went wrong, in words; empty: there is an answer.
    virtual asio::awaitable<std::string> ask() = 0;
    /// By the last answer. Null: nobody serves the shard.
    virtual const config::Endpoint* server_of(std::size_t shard) const noexcept = 0;
    /// Why there is none.
    virtual std::string nobody_serves(std::size_t shard) const = 0;
    /// A server that could not be reached, or was wrong; whom to ask first, if `why` names one.
    virtual void note(const Redirect& why, const config::Endpoint& server) = 0;
    /// What was known before is worthless once it is in doubt and nobody answers.
    virtual bool only_answers_count() const noexcept = 0;

    /// Asks soon; nobody waits.
    void want() noexcept;
    /// Tells the links whose server is another one now.
    void tell_moved();
    /// Suspends for a time, or until `stop`.
    asio::awaitable<void> pause(rules::Milliseconds time);

    asio::io_context& context_;
    DeadlineWheel& wheel_;
    const config::Store store_;
    const TlsContext* tls_;
    Counters& counters_;
    bool stopping_ = false;
    std::vector<SideConnection*> open_;  // to be ended by `stop`

  private:
    class Place;
    asio::awaitable<void> run();
    asio::awaitable<Located> locate(Place& place);
    asio::awaitable<void> asked_anew();

    std::vector<std::unique_ptr<Place>> places_;
    std::string trouble_ = "not asked yet";
    bool wanted_ = false;
    rules::Instant begun_{};            // the last question
    WakeUp* idle_ = nullptr;            // `run` waiting for something to do
    std::vector<WakeUp*> pauses_;       // in `pause`
    std::vector<WakeUp*> waiting_;      // for a question that has not begun yet
    std::vector<WakeUp*> being_asked_;  // for the one under way
};

}  // namespace larder::proxy
