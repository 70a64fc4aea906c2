#include "tests/support/stage.hpp"

#include <unistd.h>

namespace larder::tests {

const char* const item_rules = R"(
rules:
  - name: item
    match: GET /items/{id}
    key: item:{id}
    ttl: 60s
  - name: item-write
    match: PUT /items/{id}
    purge: ["item:{id}"]
)";

bool contains(const std::string& text, const std::string& word) { return text.find(word) != std::string::npos; }

Stage::Stage(const StageOptions& options)
{
    std::string yaml = options.upstream.empty() ? "upstream: http://127.0.0.1:" + std::to_string(origin.port()) + "\n"
                                                : options.upstream;
    yaml += "namespace: story\nworkers: " + std::to_string(options.workers) + "\n";
    if (options.over_redis) {
        redis = std::make_unique<RedisProcess>();
        yaml += "store:\n  url: " + redis->url() + "\n";
        if (!options.store_timeout.empty()) yaml += "  timeout: " + options.store_timeout + "\n";
    }
    larder = std::make_unique<LarderProcess>(yaml + options.options + options.rules, options.environment);
}

Response Stage::request(const std::string& method, const std::string& target, const std::vector<std::string>& fields,
                        const std::string& body)
{
    HttpClient client(larder->port());
    return client.request(method, target, fields, body);
}

std::future<Response> Stage::start_get(const std::string& target, const std::vector<std::string>& fields)
{
    return start_request("GET", target, fields);
}

std::future<Response> Stage::start_request(const std::string& method, const std::string& target,
                                           const std::vector<std::string>& fields, const std::string& body)
{
    return std::async(std::launch::async, [=, this] { return request(method, target, fields, body); });
}

Response Stage::fill(const std::string& target, const std::vector<std::string>& fields)
{
    Response response;
    await_condition("GET " + target + " becomes a hit", [&] {
        response = get(target, fields);
        return is_hit(response);
    });
    return response;
}

bool is_hit(const Response& response) { return response.cache_status().starts_with("larder; hit; ttl="); }

}  // namespace larder::tests
