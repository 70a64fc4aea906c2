// Larder between a client and a scripted origin, with or without Redis: what a story plays on.
#pragma once

#include <doctest/doctest.h>

#include <future>
#include <memory>
#include <string>
#include <vector>

#include "tests/support/http_client.hpp"
#include "tests/support/larder_process.hpp"
#include "tests/support/redis_process.hpp"
#include "tests/support/scripted_origin.hpp"

namespace larder::tests {

/// The stores that a story can run over; the parameter of TEST_CASE_TEMPLATE.
struct Embedded {
    static constexpr bool over_redis = false;
};
struct OverRedis {
    static constexpr bool over_redis = true;
};

struct StageOptions {
    std::string rules = "rules: []\n";  // the `rules:` part
    std::string options;                // further top-level options, whole lines
    std::string upstream;               // whole lines in place of `upstream: http://127.0.0.1:PORT`
    std::vector<std::string> environment;
    bool over_redis = false;
    std::string store_timeout;  // empty: the default, which a busy machine may miss: then Redis is away
    int workers = 2;
};

class Stage {
  public:
    explicit Stage(const StageOptions& options);

    ScriptedOrigin origin;
    std::unique_ptr<RedisProcess> redis;
    std::unique_ptr<LarderProcess> larder;

    /// One request on a connection of its own.
    Response request(const std::string& method, const std::string& target, const std::vector<std::string>& fields = {},
                     const std::string& body = "");
    Response get(const std::string& target, const std::vector<std::string>& fields = {})
    {
        return request("GET", target, fields);
    }
    /// The same, in the background.
    std::future<Response> start_get(const std::string& target, const std::vector<std::string>& fields = {});
    std::future<Response> start_request(const std::string& method, const std::string& target,
                                        const std::vector<std::string>& fields = {}, const std::string& body = "");

    /// Reads the target until it is a hit, so that a story can begin with an entry that is stored. The origin must give
    /// something storable.
    Response fill(const std::string& target, const std::vector<std::string>& fields = {});

    std::unique_ptr<HttpClient> connect() { return std::make_unique<HttpClient>(larder->port()); }
};

/// A stage with these rules, over the store of a template's parameter.
template <class Backend>
StageOptions over(const std::string& rules, const std::string& options = "")
{
    StageOptions stage_options;
    stage_options.rules = rules;
    stage_options.options = options;
    stage_options.over_redis = Backend::over_redis;
    return stage_options;
}

/// The rules of stories that are not about rules: GET /items/{id} is kept for 60 s, PUT purges it.
extern const char* const item_rules;

bool contains(const std::string& text, const std::string& word);

/// True for `larder; hit; ttl=N`.
bool is_hit(const Response& response);

}  // namespace larder::tests
