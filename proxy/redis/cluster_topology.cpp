#include "proxy/redis/cluster_topology.hpp"

#include <algorithm>

#include "proxy/net/clock.hpp"
#include "proxy/redis/keyspace.hpp"

namespace larder::proxy {

using rules::Errc;
using rules::Result;

namespace {

bool contains(const std::vector<config::Endpoint>& list, const config::Endpoint& node)
{
    return std::any_of(list.begin(), list.end(), [&](const auto& one) { return is_same_server(one, node); });
}

}  // namespace

ClusterTopology::ClusterTopology(asio::io_context& context, DeadlineWheel& wheel, const config::Store& store,
                                 const TlsContext* tls, Counters& counters, std::size_t shards)
    : AskedTopology(context, wheel, store, tls, counters, shards), shards_(shards)
{
}

const config::Endpoint* ClusterTopology::server_of(std::size_t shard) const noexcept
{
    return map_.master_of(Keyspace::slot(shard, shards_));
}

std::string ClusterTopology::nobody_serves(std::size_t shard) const
{
    return "no node serves slot " + std::to_string(Keyspace::slot(shard, shards_));
}

void ClusterTopology::note(const Redirect& why, const config::Endpoint& server)
{
    switch (why.kind) {
    case Redirect::Kind::moved:
        first_ = why.to;
        if (first_->host.empty()) first_->host = server.host;
        break;
    case Redirect::Kind::none:
    case Redirect::Kind::cluster_down:
        if (server.host.empty()) break;
        if (first_ && is_same_server(*first_, server)) first_.reset();
        if (!contains(suspects_, server)) suspects_.push_back(server);
        break;
    default: break;
    }
}

// Each node that is known, once, in the order in which to ask.
std::vector<config::Endpoint> ClusterTopology::nodes_to_ask()
{
    std::vector<config::Endpoint> known;
    for (const config::Endpoint& node : map_.nodes()) known.push_back(node);
    for (const config::Endpoint& node : store_.seeds)
        if (!contains(known, node)) known.push_back(node);
    // Not always the same first: a node that is cut off, or behind, must not decide for ever.
    if (!known.empty())
        std::rotate(known.begin(), known.begin() + static_cast<std::ptrdiff_t>(turn_++ % known.size()), known.end());

    std::vector<config::Endpoint> nodes;
    if (first_) nodes.push_back(*first_);
    for (const config::Endpoint& node : known)
        if (!contains(suspects_, node) && !contains(nodes, node)) nodes.push_back(node);
    for (const config::Endpoint& node : known)
        if (!contains(nodes, node)) nodes.push_back(node);
    return nodes;
}

asio::awaitable<std::string> ClusterTopology::ask()
{
    const std::vector<config::Endpoint> nodes = nodes_to_ask();
    first_.reset();
    suspects_.clear();
    const rules::Instant begun = instant_now();
    std::string trouble = "no node of the cluster is known";
    std::optional<SlotMap> doubtful;
    for (const config::Endpoint& node : nodes) {
        // Nodes that do not answer cost a deadline each. The next question begins elsewhere.
        if (stopping_ || instant_now() - begun > 3 * store_.connect_timeout) break;
        Answer answer = co_await ask_one(node);
        if (!answer.trouble.empty()) {
            trouble = "no node of the cluster answers: " + node.to_string() + ": " + answer.trouble;
            suspects_.push_back(node);
            continue;
        }
        if (answer.healthy) {
            map_ = std::move(*answer.map);
            co_return std::string();
        }
        if (!doubtful) doubtful = std::move(answer.map);
    }
    if (!doubtful) co_return trouble;
    // All say that the cluster is down. What they know is all there is.
    map_ = std::move(*doubtful);
    co_return std::string();
}

asio::awaitable<ClusterTopology::Answer> ClusterTopology::ask_one(config::Endpoint node)
{
    Answer answer;
    SideConnection connection(context_, wheel_);
    open_.push_back(&connection);
    answer.trouble = co_await connection.open(node, tls_, store_.user, store_.password, store_.connect_timeout);
    if (answer.trouble.empty()) {
        std::vector<std::string> info_words{"CLUSTER", "INFO"};
        const Result<Reply> info = co_await connection.ask(std::move(info_words), store_.connect_timeout);
        std::vector<std::string> slots_words{"CLUSTER", "SLOTS"};
        Result<Reply> slots = Errc::store_unreachable;
        if (info) slots = co_await connection.ask(std::move(slots_words), store_.connect_timeout);
        if (!info || !slots) {
            answer.trouble = rules::text(info ? slots.error() : info.error());
        } else if (slots->is_error()) {
            answer.trouble = slots->text;
        } else {
            // Who may not ask for the state is believed.
            answer.healthy = info->is_error() || info->text.find("cluster_state:ok") != std::string::npos;
            answer.map = SlotMap::parse(*slots, node);
            if (!answer.map) answer.trouble = "the answer to CLUSTER SLOTS cannot be understood";
        }
    }
    std::erase(open_, &connection);
    co_return answer;
}

}  // namespace larder::proxy
