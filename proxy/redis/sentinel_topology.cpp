#include "proxy/redis/sentinel_topology.hpp"

#include <algorithm>
#include <atomic>

#include "proxy/net/clock.hpp"
#include "proxy/observe/log.hpp"
#include "proxy/redis/slot_map.hpp"

// g++ 12 takes Asio's recycling of coroutine frames for a mismatch, here as in test_proxy.
#pragma GCC diagnostic ignored "-Wmismatched-new-delete"

namespace larder::proxy {

using rules::Errc;
using rules::Milliseconds;
using rules::Result;

namespace {

constexpr Milliseconds watch_again{500}, watch_ping{1'000}, ask_again{5'000};

// Every worker listens, but the operator reads one line.
enum class Watch { nothing, up, down };
std::atomic<Watch> last_watch{Watch::nothing};

}  // namespace

SentinelTopology::SentinelTopology(asio::io_context& context, DeadlineWheel& wheel, const config::Store& store,
                                   const TlsContext* tls, Counters& counters)
    : AskedTopology(context, wheel, store, tls, counters, 1), sentinels_(store.seeds)
{
}

std::size_t SentinelTopology::start(Tasks& tasks)
{
    const std::size_t asking = AskedTopology::start(tasks);
    tasks.spawn("sentinel watch", run_watch());
    return asking + 1;
}

std::string SentinelTopology::nobody_serves(std::size_t) const { return "no sentinel names a master"; }

void SentinelTopology::put_first(const config::Endpoint& sentinel)
{
    const auto at = std::find_if(sentinels_.begin(), sentinels_.end(),
                                 [&](const config::Endpoint& one) { return is_same_server(one, sentinel); });
    if (at != sentinels_.end()) std::rotate(sentinels_.begin(), at, at + 1);
}

asio::awaitable<std::string> SentinelTopology::ask()
{
    const std::vector<config::Endpoint> sentinels = sentinels_;
    const std::size_t enough = sentinels_majority(sentinels.size());
    std::vector<MasterAnswer> answers;
    std::vector<config::Endpoint> silent;
    std::string trouble;
    for (const config::Endpoint& sentinel : sentinels) {
        if (stopping_ || answers.size() >= enough) break;
        Said said = co_await ask_one(sentinel);
        if (said.trouble.empty()) {
            answers.push_back(std::move(said.answer));
            continue;
        }
        trouble = sentinel.to_string() + ": " + said.trouble;
        silent.push_back(sentinel);
    }
    // Who did not answer is asked last next time: each may cost a deadline.
    for (const config::Endpoint& sentinel : silent) {
        put_first(sentinel);
        std::rotate(sentinels_.begin(), sentinels_.begin() + 1, sentinels_.end());
    }
    const auto chosen = choose_master(answers, sentinels.size(), master_);
    if (chosen) {
        master_ = chosen;
        co_return std::string();
    }
    if (!answers.empty()) co_return std::string("the sentinels that answer know only an older master");
    co_return "no sentinel names the master: " + trouble;
}

// Both questions on one connection. The first is what a client is to use; the second says how old the knowledge is,
// and who may not ask it goes on without.
asio::awaitable<SentinelTopology::Said> SentinelTopology::ask_one(config::Endpoint sentinel)
{
    Said said;
    SideConnection connection(context_, wheel_);
    open_.push_back(&connection);
    said.trouble = co_await connection.open(sentinel, tls_, store_.sentinel_user, store_.sentinel_password,
                                            store_.connect_timeout);
    if (said.trouble.empty()) {
        std::vector<std::string> address_words{"SENTINEL", "GET-MASTER-ADDR-BY-NAME", store_.master_name};
        const Result<Reply> address = co_await connection.ask(std::move(address_words), store_.connect_timeout);
        std::vector<std::string> master_words{"SENTINEL", "MASTER", store_.master_name};
        Result<Reply> master = Errc::store_unreachable;
        if (address) master = co_await connection.ask(std::move(master_words), store_.connect_timeout);
        if (!address || !master)
            said.trouble = rules::text(address ? master.error() : address.error());
        else if (address->is_error())
            said.trouble = address->text;
        else if (auto endpoint = parse_master_address(*address))
            said.answer = MasterAnswer{std::move(*endpoint), parse_config_epoch(*master)};
        else
            said.trouble = "the sentinel does not know the master " + store_.master_name;
    }
    std::erase(open_, &connection);
    co_return said;
}

// Listens to one sentinel at a time, until `stop`.
asio::awaitable<void> SentinelTopology::run_watch()
{
    while (!stopping_) {
        const config::Endpoint sentinel = sentinels_.front();
        const std::string trouble = co_await watch(sentinel);
        if (stopping_) break;
        log_watch(sentinel, trouble);
        if (is_same_server(sentinels_.front(), sentinel))
            std::rotate(sentinels_.begin(), sentinels_.begin() + 1, sentinels_.end());
        co_await pause(watch_again);
    }
}

// Why it ended.
asio::awaitable<std::string> SentinelTopology::watch(config::Endpoint sentinel)
{
    SideConnection connection(context_, wheel_);
    open_.push_back(&connection);
    std::string trouble = co_await connection.open(sentinel, tls_, store_.sentinel_user, store_.sentinel_password,
                                                   store_.connect_timeout);
    if (trouble.empty()) {
        std::vector<std::string> words{"SUBSCRIBE", "+switch-master"};
        const Result<Reply> reply = co_await connection.ask(std::move(words), store_.connect_timeout);
        if (!reply)
            trouble = rules::text(reply.error());
        else if (reply->is_error())
            trouble = "SUBSCRIBE: " + reply->text;
    }
    if (trouble.empty()) {
        log_watch(sentinel, {});
        want();  // what was announced before nobody heard
    }
    rules::Instant asked = instant_now();
    bool pinged = false;
    while (trouble.empty() && !stopping_) {
        const Result<Reply> message = co_await connection.next(watch_ping);
        if (message) {
            pinged = false;
            if (const auto master = parse_switch(*message, store_.master_name)) heard(*master, sentinel);
        } else if (message.error() != Errc::store_timeout) {
            trouble = "connection closed";
        } else if (pinged) {
            trouble = "no answer to a ping";
        } else {
            std::vector<std::string> ping{"PING"};
            const bool sent = co_await connection.send(std::move(ping), watch_ping);
            if (!sent) trouble = "connection closed";
            pinged = true;
        }
        // The one listened to may be cut off from the others, and then never says so.
        if (instant_now() - asked > ask_again) {
            asked = instant_now();
            want();
        }
    }
    std::erase(open_, &connection);
    co_return trouble;
}

void SentinelTopology::heard(const config::Endpoint& master, const config::Endpoint& sentinel)
{
    // Who announces it knows it; those asked after it must not know less.
    put_first(sentinel);
    if (master_ && is_same_server(master_->master, master)) return;
    MasterAnswer answer;
    answer.master = master;
    answer.epoch = master_ ? master_->epoch + 1 : 0;
    master_ = answer;
    tell_moved();
}

// Once when nobody can be listened to any more, once when somebody can again.
void SentinelTopology::log_watch(const config::Endpoint& sentinel, std::string_view trouble)
{
    const std::string server = sentinel.to_string();
    if (trouble.empty()) {
        watches_failed_count_ = 0;
        if (last_watch.exchange(Watch::up) != Watch::up)
            log_event(config::LogLevel::info, "listening to a sentinel", {{"sentinel", std::string_view(server)}});
        return;
    }
    counters_.add(Counter::sentinel_downs);
    if (++watches_failed_count_ < sentinels_.size()) return;
    if (last_watch.exchange(Watch::down) != Watch::down)
        log_event(config::LogLevel::warn, "no sentinel is listened to: a failover may be noticed late",
                  {{"sentinel", std::string_view(server)}, {"reason", trouble}});
}

}  // namespace larder::proxy
