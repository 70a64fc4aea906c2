#include "tests/support/redis_group.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <sstream>
#include <stdexcept>
#include <utility>

#include "tests/support/larder_binary.hpp"
#include "tests/support/redis_process.hpp"

namespace larder::tests {

namespace {

constexpr const char* master_name = "story-master";
constexpr const char* sentinel_password = "a-secret-of-the-sentinels";
constexpr int bus_distance = 10'000;

/// A socket that holds a port until it goes; port 0: any. Empty when it is taken.
class HeldPort {
  public:
    explicit HeldPort(std::uint16_t port) : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0))
    {
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        address.sin_port = htons(port);
        socklen_t size = sizeof address;
        if (::bind(fd_, reinterpret_cast<sockaddr*>(&address), size) != 0) return;
        ::getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &size);
        port_ = ntohs(address.sin_port);
    }
    ~HeldPort() { ::close(fd_); }
    HeldPort(const HeldPort&) = delete;
    HeldPort& operator=(const HeldPort&) = delete;
    std::uint16_t port() const { return port_; }

  private:
    int fd_;
    std::uint16_t port_ = 0;
};

/// Ports that are free now, all different; with the bus of a cluster also those 10000 above.
std::vector<std::uint16_t> find_free_ports(std::size_t count, bool with_bus)
{
    std::vector<std::unique_ptr<HeldPort>> held;
    std::vector<std::uint16_t> ports;
    for (int attempt = 0; attempt < 1000 && ports.size() < count; ++attempt) {
        auto port = std::make_unique<HeldPort>(0);
        if (with_bus) {
            if (port->port() + bus_distance > 65'535) {
                held.push_back(std::move(port));  // kept, so that another one is given next time
                continue;
            }
            auto bus = std::make_unique<HeldPort>(static_cast<std::uint16_t>(port->port() + bus_distance));
            if (bus->port() == 0) continue;
            held.push_back(std::move(bus));
        }
        ports.push_back(port->port());
        held.push_back(std::move(port));
    }
    if (ports.size() < count) throw std::runtime_error("no free ports");
    return ports;
}

/// A line of an ACL file for the user that `larder acl` prints.
std::string acl_line(const std::vector<std::string>& arguments, const std::string& password)
{
    std::string line = run_larder(arguments).standard_output;
    line = line.substr(std::string("ACL SETUSER ").size());
    line.replace(line.find(">PASSWORD"), 9, ">" + password);
    return "user " + line;
}

std::string write_users(const TemporaryDirectory& directory, const std::string& name, const std::string& line)
{
    return directory.write(name, "user default on nopass ~* &* +@all\n" + line);
}

/// Options of a server with these wires.
std::vector<std::string> wire_options(const TemporaryDirectory& directory, Wires wires, std::uint16_t port)
{
    const std::string number = std::to_string(port);
    if (wires == Wires::plain) return {"port " + number};
    const std::string path = directory.path();
    return {"port 0",
            "tls-port " + number,
            "tls-replication yes",
            "tls-cert-file " + path + "/server.pem",
            "tls-key-file " + path + "/server.key",
            "tls-ca-cert-file " + path + "/ca.pem",
            "tls-auth-clients no"};
}

void write_certificates(const TemporaryDirectory& directory)
{
    const Certificates certificates = make_certificates();
    directory.write("ca.pem", certificates.authority);
    directory.write("server.pem", certificates.server);
    directory.write("server.key", certificates.server_key);
}

template <class... Lists>
std::vector<std::string> joined(std::vector<std::string> first, const Lists&... lists)
{
    (first.insert(first.end(), lists.begin(), lists.end()), ...);
    return first;
}

std::vector<std::string> words_of(const std::string& line)
{
    std::istringstream stream(line);
    std::vector<std::string> words;
    for (std::string word; stream >> word;) words.push_back(word);
    return words;
}

}  // namespace

RedisNode::RedisNode(std::uint16_t port, const std::vector<std::string>& options, bool is_sentinel)
    : port_(port), is_sentinel_(is_sentinel)
{
    std::string text =
        "bind 127.0.0.1\ndir " + directory_.path() + "\nunixsocket " + directory_.path() + "/redis.sock\n";
    if (!is_sentinel) text += "save \"\"\nappendonly no\nrepl-diskless-sync-delay 0\n";
    for (const std::string& option : options) text += option + "\n";
    directory_.write("redis.conf", text);
    start();
}

void RedisNode::start()
{
    std::vector<std::string> arguments{"redis-server", directory_.path() + "/redis.conf"};
    if (is_sentinel_) arguments.push_back("--sentinel");
    process_ = std::make_unique<ChildProcess>(arguments);
    await_condition("redis-server on port " + std::to_string(port_) + " answers", [&] {
        if (process_->exit_code()) throw std::runtime_error("redis-server ended: " + process_->standard_output());
        try {
            return command({"PING"}) == "PONG";
        } catch (const std::exception&) {
            return false;
        }
    });
    running_ = true;
}

void RedisNode::kill()
{
    if (!running_) return;
    process_->signal(SIGKILL);
    process_->signal(SIGCONT);
    process_->wait_for_exit();
    running_ = false;
}

bool RedisNode::revive()
{
    go_on();
    if (running_) return false;
    start();
    return true;
}

void RedisNode::stop()
{
    process_->signal(SIGSTOP);
    stopped_ = true;
}

void RedisNode::go_on()
{
    process_->signal(SIGCONT);
    stopped_ = false;
}

std::string RedisNode::command(const std::vector<std::string>& words) const
{
    return redis_command(directory_.path() + "/redis.sock", words);
}

bool RedisNode::says(const std::vector<std::string>& words, const std::string& text) const
{
    return command(words).find(text) != std::string::npos;
}

namespace {

// A sentinel's periods are made for networks, and would be most of the time that a story takes. TILT would stop all
// failovers for half a minute whenever the machine is busy. No shorter pings: a replica whose INFO (once a second) is
// older than five of them is not elected.
void tune(const RedisNode& sentinel)
{
    sentinel.command({"SENTINEL", "DEBUG", "PING-PERIOD", "400", "ASK-PERIOD", "200", "PUBLISH-PERIOD", "200",
                      "INFO-PERIOD", "500", "TILT-TRIGGER", "60000", "TILT-PERIOD", "100"});
}

}  // namespace

// --- Sentinel --------------------------------------------------------------------------------------------------------

SentinelSet::SentinelSet(Wires wires) : wires_(wires)
{
    if (wires == Wires::tls) write_certificates(directory_);
    const auto ports = find_free_ports(5, false);
    const std::string server_users =
        write_users(directory_, "users.acl", acl_line({"acl", "--namespace", "story"}, RedisProcess::password));
    const std::string sentinel_users =
        write_users(directory_, "sentinel.acl", acl_line({"acl", "--sentinel"}, sentinel_password));
    const std::string master = "127.0.0.1 " + std::to_string(ports[0]);
    const std::vector<std::string> users{"aclfile " + server_users}, watchers{"aclfile " + sentinel_users};
    const std::vector<std::string> replicates{"replicaof " + master};
    const std::string name = master_name;
    const std::vector<std::string> monitors{"sentinel monitor " + name + " " + master + " 2",
                                            "sentinel failover-timeout " + name + " 3000"};
    // The last one notices late, and so has a vote to give: three that notice at once vote for themselves, and again
    // only after seconds.
    const char* const patience[] = {"700", "1000", "4000"};
    servers_.push_back(std::make_unique<RedisNode>(ports[0], joined(wire_options(directory_, wires, ports[0]), users)));
    servers_.push_back(
        std::make_unique<RedisNode>(ports[1], joined(wire_options(directory_, wires, ports[1]), users, replicates)));
    // A sentinel asks for the replicas when it starts, and then only now and then.
    await_condition("the replica is there", [&] { return servers_[0]->says({"INFO", "replication"}, "state=online"); });
    for (std::size_t i = 2; i < ports.size(); ++i) {
        sentinels_.push_back(std::make_unique<RedisNode>(
            ports[i],
            joined(wire_options(directory_, wires, ports[i]), watchers, monitors,
                   std::vector<std::string>{"sentinel down-after-milliseconds " + name + " " + patience[i - 2]}),
            true));
        tune(*sentinels_.back());
    }
    restore();
}

std::string SentinelSet::store_yaml() const
{
    std::string url =
        std::string(wires_ == Wires::tls ? "rediss" : "redis") + "+sentinel://larder:" + RedisProcess::password + "@";
    for (std::size_t i = 0; i < sentinels_.size(); ++i)
        url += (i == 0 ? "127.0.0.1:" : ",127.0.0.1:") + std::to_string(sentinels_[i]->port());
    std::string yaml = "store:\n  url: " + url + "/" + master_name + "\n  sentinel_user: larder\n";
    yaml += "  sentinel_password_file: " + directory_.write("sentinel-password", sentinel_password) + "\n";
    if (wires_ == Wires::tls) yaml += "  ca_file: " + directory_.path() + "/ca.pem\n";
    return yaml;
}

RedisNode& SentinelSet::master()
{
    const std::string address = sentinels_[0]->command({"SENTINEL", "GET-MASTER-ADDR-BY-NAME", master_name});
    for (const auto& server : servers_)
        if (address.ends_with("\n" + std::to_string(server->port()))) return *server;
    throw std::runtime_error("the sentinels name a foreign master: " + address);
}

RedisNode& SentinelSet::replica() { return &master() == servers_[0].get() ? *servers_[1] : *servers_[0]; }

void SentinelSet::hand_over()
{
    // One by hand that takes longer than the failover timeout ends in nothing, and nobody but us tries again. While one
    // is under way the answer is INPROG.
    const RedisNode& from = master();
    await_condition(
        "another master is named by hand",
        [&] {
            if (&master() != &from) return true;
            sentinels_[0]->command({"SENTINEL", "FAILOVER", master_name});
            return false;
        },
        3 * step_limit());
}

void SentinelSet::await_failover(const RedisNode& from)
{
    // Redis tries again only after twice its failover timeout, when an election had no winner or took too long.
    await_condition(
        "another master is named", [&] { return &master() != &from; }, 3 * step_limit());
}

void SentinelSet::restore()
{
    for (const auto& server : servers_) server->revive();
    for (const auto& sentinel : sentinels_)
        if (sentinel->revive()) tune(*sentinel);
    await_condition("a failover is possible", [&] {
        for (const auto& sentinel : sentinels_) {
            const std::string state = sentinel->command({"SENTINEL", "MASTER", master_name});
            if (state.find("num-slaves\n1") == std::string::npos ||
                state.find("num-other-sentinels\n2") == std::string::npos ||
                state.find("flags\nmaster\n") == std::string::npos ||
                sentinel->command({"SENTINEL", "REPLICAS", master_name}).find("flags\nslave\n") == std::string::npos)
                return false;
        }
        return master().says({"INFO", "replication"}, "state=online") &&
               replica().says({"INFO", "replication"}, "master_link_status:up");
    });
}

// --- Cluster ---------------------------------------------------------------------------------------------------------

struct ClusterNodes::Known {
    std::string id, flags, master_id;
    std::uint16_t port = 0;
    std::vector<std::pair<unsigned, unsigned>> slots;

    bool is_master() const
    {
        return flags.find("master") != std::string::npos && flags.find("fail") == std::string::npos;
    }
    bool has(unsigned slot) const
    {
        for (const auto& [first, last] : slots)
            if (slot >= first && slot <= last) return true;
        return false;
    }
};

ClusterNodes::ClusterNodes(Wires wires) : wires_(wires)
{
    if (wires == Wires::tls) write_certificates(directory_);
    const std::string users =
        write_users(directory_, "users.acl", acl_line({"acl", "--namespace", "story"}, RedisProcess::password));
    const auto ports = find_free_ports(5, true);
    std::vector<std::string> options{"aclfile " + users, "cluster-enabled yes", "cluster-node-timeout 1000",
                                     "cluster-require-full-coverage no", "cluster-allow-replica-migration no"};
    if (wires == Wires::tls) options.push_back("tls-cluster yes");
    for (const std::uint16_t port : ports)
        nodes_.push_back(std::make_unique<RedisNode>(port, joined(wire_options(directory_, wires, port), options)));

    const char* const ranges[][2] = {{"0", "5460"}, {"5461", "10922"}, {"10923", "16383"}};
    for (std::size_t i = 0; i < nodes_.size(); ++i) {
        nodes_[i]->command({"CLUSTER", "SET-CONFIG-EPOCH", std::to_string(i + 1)});
        if (i < 3) nodes_[i]->command({"CLUSTER", "ADDSLOTSRANGE", ranges[i][0], ranges[i][1]});
        if (i > 0) nodes_[0]->command({"CLUSTER", "MEET", "127.0.0.1", std::to_string(ports[i])});
    }
    await_condition("all nodes know each other", [&] {
        for (const auto& node : nodes_)
            if (!node->says({"CLUSTER", "INFO"}, "cluster_known_nodes:5")) return false;
        return true;
    });
    for (std::size_t i = 0; i < 2; ++i) {
        const std::string master = id_of(*nodes_[i]);
        await_condition("a node becomes a replica", [&] {
            return nodes_[3 + i]->command({"CLUSTER", "REPLICATE", master}) == "OK";
        });
    }
    restore();
}

std::string ClusterNodes::store_yaml() const
{
    std::string url =
        std::string(wires_ == Wires::tls ? "rediss" : "redis") + "+cluster://larder:" + RedisProcess::password + "@";
    for (std::size_t i = 0; i < 2; ++i)
        url += (i == 0 ? "127.0.0.1:" : ",127.0.0.1:") + std::to_string(nodes_[i]->port());
    std::string yaml = "store:\n  url: " + url + "\n";
    if (wires_ == Wires::tls) yaml += "  ca_file: " + directory_.path() + "/ca.pem\n";
    return yaml;
}

// ID HOST:PORT@BUS FLAGS MASTER PING PONG EPOCH LINK SLOTS...
std::vector<ClusterNodes::Known> ClusterNodes::known()
{
    std::string text;
    for (const auto& node : nodes_) {
        if (!node->answers()) continue;
        text = node->command({"CLUSTER", "NODES"});
        break;
    }
    std::istringstream lines(text);
    std::vector<Known> all;
    for (std::string line; std::getline(lines, line);) {
        const auto words = words_of(line);
        if (words.size() < 8) continue;
        Known one{words[0], words[2], words[3], 0, {}};
        one.port = static_cast<std::uint16_t>(std::stoi(words[1].substr(words[1].find(':') + 1)));
        for (std::size_t i = 8; i < words.size(); ++i) {
            if (words[i][0] == '[') continue;  // on its way
            const auto dash = words[i].find('-');
            const auto first = static_cast<unsigned>(std::stoi(words[i]));
            one.slots.emplace_back(
                first, dash == std::string::npos ? first : static_cast<unsigned>(std::stoi(words[i].substr(dash + 1))));
        }
        all.push_back(std::move(one));
    }
    return all;
}

RedisNode& ClusterNodes::by_port(std::uint16_t port)
{
    for (const auto& node : nodes_)
        if (node->port() == port) return *node;
    throw std::runtime_error("no such node");
}

std::string ClusterNodes::id_of(const RedisNode& node) { return node.command({"CLUSTER", "MYID"}); }

RedisNode& ClusterNodes::master_of(unsigned slot)
{
    for (const Known& one : known())
        if (one.flags.find("master") != std::string::npos && one.has(slot)) return by_port(one.port);
    throw std::runtime_error("nobody has slot " + std::to_string(slot));
}

bool ClusterNodes::has_replica(const RedisNode& master)
{
    const auto all = known();
    std::string id;
    for (const Known& one : all)
        if (one.port == master.port()) id = one.id;
    for (const Known& one : all)
        if (one.master_id == id && one.flags.find("fail") == std::string::npos) return true;
    return false;
}

void ClusterNodes::hand_over(unsigned slot)
{
    const RedisNode& from = master_of(slot);
    const std::string id = id_of(from);
    for (const Known& one : known())
        if (one.master_id == id) by_port(one.port).command({"CLUSTER", "FAILOVER"});
    await_failover(slot, from);
}

RedisNode& ClusterNodes::other_master(const RedisNode& than)
{
    for (const Known& one : known())
        if (one.is_master() && !one.slots.empty() && one.port != than.port()) return by_port(one.port);
    throw std::runtime_error("no other master");
}

void ClusterNodes::await_failover(unsigned slot, const RedisNode& from)
{
    await_condition("another node has the slot", [&] { return &master_of(slot) != &from; });
}

void ClusterNodes::move_slot(unsigned slot, RedisNode& to, const std::function<void()>& half_way)
{
    RedisNode& from = master_of(slot);
    const std::string number = std::to_string(slot);
    const std::string from_id = id_of(from), to_id = id_of(to);
    to.command({"CLUSTER", "SETSLOT", number, "IMPORTING", from_id});
    from.command({"CLUSTER", "SETSLOT", number, "MIGRATING", to_id});
    for (bool told = false;;) {
        const std::string key = from.command({"CLUSTER", "GETKEYSINSLOT", number, "1"});
        if (key.empty()) break;
        const std::string moved =
            from.command({"MIGRATE", "127.0.0.1", std::to_string(to.port()), key, "0", "5000", "REPLACE"});
        if (moved != "OK" && moved != "NOKEY") throw std::runtime_error("MIGRATE: " + moved);
        if (!std::exchange(told, true)) half_way();
    }
    to.command({"CLUSTER", "SETSLOT", number, "NODE", to_id});
    from.command({"CLUSTER", "SETSLOT", number, "NODE", to_id});
}

void ClusterNodes::restore()
{
    for (const auto& node : nodes_) node->revive();
    await_agreement();
}

void ClusterNodes::await_agreement()
{
    await_condition("the cluster is whole", [&] {
        std::size_t masters_count = 0, replicas_count = 0;
        for (const auto& node : nodes_) {
            if (!node->says({"CLUSTER", "INFO"}, "cluster_state:ok") ||
                !node->says({"CLUSTER", "INFO"}, "cluster_slots_ok:16384"))
                return false;
            const std::string nodes = node->command({"CLUSTER", "NODES"});
            if (nodes.find("fail") != std::string::npos || nodes.find("handshake") != std::string::npos) return false;
            const std::string replication = node->command({"INFO", "replication"});
            const bool is_replica = replication.find("role:slave") != std::string::npos;
            ++(is_replica ? replicas_count : masters_count);
            if (is_replica && replication.find("master_link_status:up") == std::string::npos) return false;
        }
        return masters_count == 3 && replicas_count == 2;
    });
}

}  // namespace larder::tests
