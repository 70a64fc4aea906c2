#include "proxy/redis/asked_topology.hpp"

#include <algorithm>
#include <utility>

#include "proxy/net/clock.hpp"
#include "proxy/redis/slot_map.hpp"

namespace larder::proxy {

using rules::Milliseconds;

namespace {

constexpr Milliseconds pace{250};

}  // namespace

class AskedTopology::Place final : public Locator {
  public:
    Place(AskedTopology& topology, std::size_t shard) : topology_(topology), shard_(shard) {}

    asio::awaitable<Located> locate() override { return topology_.locate(*this); }
    void distrust(const Redirect& why) noexcept override
    {
        using Kind = Redirect::Kind;
        topology_.note(why, given_);
        // What leaves the link connected is asked about behind its back.
        const bool stays = why.kind == Kind::cluster_down || why.kind == Kind::too_few_replicas;
        if (stays)
            topology_.want();
        else if (why.kind != Kind::ask && why.kind != Kind::try_again)
            in_doubt_ = true;
    }
    bool role_must_be_asked() const noexcept override { return topology_.only_answers_count(); }

  private:
    friend class AskedTopology;
    AskedTopology& topology_;
    std::size_t shard_;
    config::Endpoint given_;
    bool is_given_ = false;
    bool in_doubt_ = false;
};

AskedTopology::AskedTopology(asio::io_context& context, DeadlineWheel& wheel, const config::Store& store,
                             const TlsContext* tls, Counters& counters, std::size_t shards)
    : context_(context), wheel_(wheel), store_(store), tls_(store.tls ? tls : nullptr), counters_(counters)
{
    for (std::size_t shard = 0; shard < shards; ++shard) places_.push_back(std::make_unique<Place>(*this, shard));
}

AskedTopology::~AskedTopology() = default;

Locator& AskedTopology::locator(std::size_t shard) { return *places_[shard]; }

std::size_t AskedTopology::start(Tasks& tasks)
{
    tasks.spawn("store topology", run());
    return 1;
}

void AskedTopology::stop() noexcept
{
    stopping_ = true;
    for (SideConnection* connection : open_) connection->abort();
    if (idle_) idle_->wake();
    for (WakeUp* waiter : pauses_) waiter->wake();
    for (WakeUp* waiter : waiting_) waiter->wake();
    waiting_.clear();
}

void AskedTopology::want() noexcept
{
    wanted_ = true;
    if (idle_) idle_->wake();
}

asio::awaitable<void> AskedTopology::pause(Milliseconds time)
{
    if (stopping_) co_return;
    WakeUp over(context_);
    pauses_.push_back(&over);
    auto on_expiry = [&over] { over.wake(); };
    DeadlineOf<decltype(on_expiry)> deadline(on_expiry);
    deadline.arm(wheel_, time);
    co_await over.wait();
    std::erase(pauses_, &over);
}

// Asks whenever somebody wants to know, until `stop`.
asio::awaitable<void> AskedTopology::run()
{
    while (!stopping_) {
        if (!wanted_) {
            WakeUp wake_up(context_);
            idle_ = &wake_up;
            co_await wake_up.wait();
            idle_ = nullptr;
            continue;
        }
        const auto since = std::chrono::duration_cast<Milliseconds>(instant_now() - begun_);
        if (begun_ != rules::Instant{} && since < pace) {
            const Milliseconds left = pace - since;
            co_await pause(left);
            if (stopping_) break;
        }
        wanted_ = false;
        begun_ = instant_now();
        counters_.add(Counter::store_lookups);
        being_asked_ = std::exchange(waiting_, {});
        std::string trouble = co_await ask();
        trouble_ = std::move(trouble);
        const std::vector<WakeUp*> answered = std::exchange(being_asked_, {});
        for (WakeUp* waiter : answered) waiter->wake();
        if (!waiting_.empty()) wanted_ = true;
        if (!stopping_) tell_moved();
    }
    const std::vector<WakeUp*> left = std::exchange(waiting_, {});
    for (WakeUp* waiter : left) waiter->wake();
}

asio::awaitable<void> AskedTopology::asked_anew()
{
    if (stopping_) co_return;
    WakeUp answered(context_);
    waiting_.push_back(&answered);
    want();
    co_await answered.wait();
}

asio::awaitable<Located> AskedTopology::locate(Place& place)
{
    const config::Endpoint* server = server_of(place.shard_);
    if (place.in_doubt_ || !server) {
        co_await asked_anew();
        if (stopping_) co_return Located::nowhere("stopping");
        if (!trouble_.empty() && only_answers_count()) co_return Located::nowhere(trouble_);
        server = server_of(place.shard_);
        if (!server && !trouble_.empty()) co_return Located::nowhere(trouble_);
        if (!server) co_return Located::nowhere(nobody_serves(place.shard_));
        place.in_doubt_ = false;
    }
    place.given_ = *server;
    place.is_given_ = true;
    co_return Located::at(place.given_);
}

void AskedTopology::tell_moved()
{
    for (const auto& place : places_) {
        const config::Endpoint* server = server_of(place->shard_);
        if (!place->is_given_ || !server || is_same_server(*server, place->given_)) continue;
        // What is in doubt is located anew in any case, but perhaps only after a while.
        place->given_ = *server;
        if (place->on_moved) place->on_moved();
    }
}

}  // namespace larder::proxy
