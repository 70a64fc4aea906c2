// The operator's wishes as one immutable, checked value. Made once by the reader, shared by every thread.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "rules/match/matcher.hpp"
#include "rules/verdict/judge_request.hpp"

namespace larder::config {

using rules::Milliseconds;

/// host:port to listen on or to connect to, or a unix socket.
struct Endpoint {
    std::string host;        // name, IPv4 or IPv6 without brackets; empty with `unix_path`; "" host means any address
    std::uint16_t port = 0;  // 0 when listening: any free port, printed at start
    std::string unix_path;
    /// "127.0.0.1:80", "[::1]:80", "unix:/run/app.sock"
    std::string to_string() const;
    bool operator==(const Endpoint&) const = default;
};

struct Upstream {
    Endpoint endpoint;
    bool tls = false;         // https://
    std::string host_header;  // authority of the URL, for Host when the client sent none; SNI and certificate name
    std::string ca_file;      // empty: the system's certificates
    Milliseconds connect_timeout{1000};
    Milliseconds first_byte_timeout{30'000};  // from the request's last byte to the response's first
    Milliseconds idle_timeout{30'000};        // between two reads or writes of a body
    Milliseconds keep_alive{55'000};          // an unused pooled connection is closed after this
    std::uint32_t pool_size = 256;            // idle connections kept per worker
};

enum class StoreKind : std::uint8_t { embedded, redis };

/// How the server of a key is found.
enum class StoreTopology : std::uint8_t {
    single,    // redis://, rediss://, unix://: it is `endpoint`
    sentinel,  // redis+sentinel://: the sentinels at `seeds` say who is the master `master_name`
    cluster,   // redis+cluster://: the nodes at `seeds` know who has which slot
};

struct Store {
    StoreKind kind = StoreKind::embedded;
    StoreTopology topology = StoreTopology::single;
    Endpoint endpoint;
    std::vector<Endpoint> seeds;
    std::string master_name;
    bool tls = false;               // rediss://, rediss+sentinel://, rediss+cluster://
    std::string user;               // empty: none
    std::string password;           // never printed
    std::string sentinel_user;      // login of the sentinels themselves; empty: none
    std::string sentinel_password;  // never printed
    std::uint32_t database = 0;
    std::string ca_file;
    Milliseconds timeout{50};  // one operation
    Milliseconds connect_timeout{1000};
    Milliseconds slow_log{100};   // operations above are logged; 0: none
    std::string url_for_display;  // without the password
    bool operator==(const Store&) const = default;
};

struct Timeouts {
    Milliseconds client_head{10'000};  // first to last byte of a request head
    Milliseconds client_idle{60'000};  // between two requests
    Milliseconds client_body{30'000};  // between two reads of a request's body, and two writes of a response
    Milliseconds drain{30'000};        // SIGTERM to exit
};

struct Limits {
    std::uint64_t request_head = 32 * 1024;   // bytes
    std::uint64_t target = 16 * 1024;         // bytes
    std::uint64_t field = 16 * 1024;          // bytes of one line
    std::uint32_t fields = 128;               // count
    std::uint64_t response_head = 64 * 1024;  // bytes
    std::uint64_t request_body = 0;           // bytes; 0: no limit
    std::uint64_t client_rate = 500;          // bytes per second, see proxy/exchange/allowance.hpp; 0: no limit
    std::uint32_t connections = 0;            // client connections in all; 0: what the open-files limit allows
    std::uint32_t inflight = 0;               // requests under way to the upstream, in all; 0: no limit
};

enum class LogFormat : std::uint8_t { text, json };
enum class LogLevel : std::uint8_t { debug, info, warn, error };

/// What the access log says of a query string: all of it, the names of its parameters (`page=&token=`), nothing.
enum class QueryLog : std::uint8_t { keep, names, drop };

struct Log {
    LogLevel level = LogLevel::info;
    LogFormat format = LogFormat::text;
    std::uint32_t access_every = 0;  // one access-log line per this many exchanges; 0: off, 1: all
    QueryLog query = QueryLog::keep;
};

/// What an operator has switched at run time. Holds over reloads, until it is switched back or the process ends.
struct Switches {
    bool cache_off = false;                        // of everything, as by LARDER_CACHE=off
    std::set<std::string, std::less<>> rules_off;  // names; a rule that is not there is none
    std::optional<LogLevel> log_level;
    std::optional<std::uint32_t> access_every;
    std::optional<std::uint32_t> verify_every;
    bool operator==(const Switches&) const = default;
};

enum class OtlpProtocol : std::uint8_t { protobuf, json };

/// Where spans go. Of the file and of the variables of OpenTelemetry (config/tracing.cpp), which win.
struct Tracing {
    std::string endpoint;     // URL that spans are posted to; empty: nothing is traced
    Endpoint address;         // of the collector
    bool tls = false;         // https://
    std::string host_header;  // authority of the URL
    std::string target;       // its path and query
    std::string ca_file;      // empty: the system's certificates
    OtlpProtocol protocol = OtlpProtocol::protobuf;
    std::vector<std::pair<std::string, std::string>> headers;  // of each export; values are never printed
    std::string service_name = "larder";
    std::vector<std::pair<std::string, std::string>> resource;  // further attributes
    std::uint32_t sample_every = 1;                             // as the file has it; the ratio below follows from it
    bool follows_parent = true;           // a valid traceparent decides; the ratio when there is none
    double ratio = 1;                     // share of the traces that are recorded, 0 to 1
    Milliseconds timeout{10'000};         // one attempt to export a batch
    Milliseconds export_timeout{30'000};  // one batch, with all its attempts
    Milliseconds schedule_delay{5'000};   // between two exports, unless there is enough for a batch
    std::uint32_t queue_size = 2048;      // spans that wait, in all; more are dropped
    std::uint32_t batch_size = 512;       // spans of one export

    bool is_on() const noexcept { return !endpoint.empty(); }
    friend bool operator==(const Tracing&, const Tracing&) = default;
};

struct Config {
    std::string file;  // where it came from; empty: the command line
    Endpoint listen{"0.0.0.0", 8080, ""};
    Upstream upstream;
    std::optional<Endpoint> admin;
    std::string admin_token;  // for what changes something there; empty: none, and only on loopback
    std::string namespace_ = "larder";
    Store store;
    std::uint64_t memory = 64ull << 20;     // bytes of the in-process store
    std::uint64_t max_object = 1ull << 20;  // bytes of body; larger ones stream without being stored
    std::uint32_t verify_every = 0;         // one hit in so many is held against the app's answer; 0: none
    bool watch = true;                      // reload when the file changes
    std::uint32_t workers = 0;              // 0: one per core that the cgroup allows
    Milliseconds trust{0};                  // memory hits need no look at the log for so long; 0: strict
    rules::CacheMode cache = rules::CacheMode::rules;
    /// For rules that say nothing; empty: ignore, and respect for what `cache: respect-origin` stores without a rule.
    std::optional<rules::ClientCacheControl> client_cache_control;
    std::vector<std::string> trusted_proxies;  // addresses or CIDR blocks whose X-Forwarded-* are kept
    Timeouts timeouts;
    Limits limits;
    Log log;
    Tracing tracing;

    std::vector<rules::Rule> rules;  // in file order, never changed after `matcher` was made
    /// The rule names that rows of counters stand for, by `Rule::index`. A name keeps its row when the configuration is
    /// replaced, also while no rule has it.
    std::vector<std::string> counted_names;
    std::unique_ptr<const rules::Matcher> matcher;
};

using ConfigPtr = std::shared_ptr<const Config>;

}  // namespace larder::config
