// What a worker uses again for the next request (its exchanges, its buffers) keeps nothing of the one before: neither
// in the answer, nor in what the app is sent, nor in the access log.
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

#include "tests/support/answers.hpp"
#include "tests/support/stage.hpp"

namespace larder::tests {

namespace {

namespace json = boost::json;

const char* const varied_rules = R"(
rules:
  - name: item
    match: GET /items/{id}
    key: item:{id}
    ttl: 60s
    client_cache_control: respect
  - name: item-write
    match: PUT|POST /items/{id}
    purge: "item:{id}"
)";

StageOptions one_worker(StageOptions options)
{
    options.workers = 1;
    options.options = "trusted_proxies: [127.0.0.1]\nlog: {access: all, format: json}\n";
    return options;
}

struct Asked {
    std::string method, target;
    std::vector<std::string> fields;
    std::string body;
};

/// The answer and what the app was sent, without what differs each time.
std::string heard_and_told(Stage& stage, const Asked& asked)
{
    const auto is_told_anew = [](const std::string& name) {
        return name == "Date" || name == "X-Request-ID" || name == "Host" || name == "X-Forwarded-Host";
    };
    std::string all;
    const auto add = [&](const Message& message) {
        all += message.start_line + "\n";
        for (const auto& [name, value] : message.fields)
            if (!is_told_anew(name)) all.append(name).append(": ").append(value).append("\n");
        all += message.body + "\n";
    };
    add(stage.request(asked.method, asked.target, asked.fields, asked.body));
    for (const Request& request : stage.origin.all())
        if (request.target == asked.target) add(request);
    return all;
}

/// Its line in the access log, likewise.
std::string logged(Stage& stage, const Asked& asked)
{
    const std::string path = "\"path\":\"" + asked.target + "\"";
    await_condition("its line in the access log", [&] { return contains(stage.larder->access_log(), path); });
    const std::string log = stage.larder->access_log();
    const std::size_t begin = log.rfind('\n', log.find(path)) + 1;
    json::object line = json::parse(log.substr(begin, log.find('\n', begin) - begin)).as_object();
    for (const char* name : {"ts", "host", "request_id", "duration", "upstream_time", "store_time"})
        if (line.contains(name)) line[name] = "some";
    return json::serialize(line);
}

}  // namespace

TEST_CASE_TEMPLATE("a request is answered as if it were its worker's first", Backend, Embedded, OverRedis)
{
    Stage used(one_worker(over<Backend>(varied_rules)));
    const std::string varies = "Vary: Accept-Language", etag = "ETag: \"1\"";
    used.origin.on("/items/varies").handle(in_turn({answer(200, {varies, etag}, "varied")}));
    used.origin.on("/items/part").handle(in_turn({answer(200, {etag}, "0123456789")}));
    used.origin.on("/items/failing").handle(in_turn({answer(500, {}, "no")}));
    used.origin.on("/items/dying").handle(in_turn({""}));
    const std::string long_value(3'000, 'x'), explain = "Larder-Debug: explain, key";
    const Asked loud[] = {
        {"GET", "/items/varies", {"Accept-Language: de", explain, "X-Request-ID: loud-1"}, ""},
        {"GET", "/items/varies", {"Accept-Language: de", explain}, ""},
        {"GET", "/items/varies", {"Accept-Language: fr", "traceparent: 00-11112222333344445555666677778888-01-01"}, ""},
        {"GET", "/items/part", {}, ""},
        {"GET", "/items/part", {"Range: bytes=2-4", explain}, ""},
        {"GET", "/items/part", {"If-None-Match: \"1\"", "Connection: close"}, ""},
        {"HEAD", "/items/part", {explain}, ""},
        {"GET", "/items/%70art?a=1", {"Authorization: Basic bG91ZA==", "Cookie: sid=loud"}, ""},
        {"GET", "/items/none", {"Cache-Control: only-if-cached"}, ""},
        {"GET", "/items/failing", {explain}, ""},
        {"GET", "/items/dying", {explain}, ""},
        {"PUT", "/items/part", {"X-Long: " + long_value, explain}, "loud"},
        {"POST", "/elsewhere", {"Max-Forwards: 3", explain}, "loud"},
    };
    const Asked plain[] = {
        {"GET", "/items/plain", {}, ""},       {"GET", "/private", {"Authorization: Basic cGxhaW4="}, ""},
        {"PUT", "/items/written", {}, "body"}, {"GET", "/unknown", {}, ""},
        {"HEAD", "/items/head", {}, ""},
    };
    const auto ask_loudly = [&] {
        for (const Asked& asked : loud) used.request(asked.method, asked.target, asked.fields, asked.body);
    };
    std::vector<std::unique_ptr<Stage>> fresh;  // a worker for each
    for (const Asked& asked : plain) {
        CAPTURE(asked.target);
        ask_loudly();
        fresh.push_back(std::make_unique<Stage>(one_worker(over<Backend>(varied_rules))));
        CHECK(heard_and_told(used, asked) == heard_and_told(*fresh.back(), asked));
    }
    for (std::size_t i = 0; i < fresh.size(); ++i) CHECK(logged(used, plain[i]) == logged(*fresh[i], plain[i]));

    // A hit, of what its worker has stored.
    ask_loudly();
    const Response again = used.get(plain[0].target), once = fresh[0]->get(plain[0].target);
    CHECK(is_hit(again));
    CHECK(is_hit(once));
    CHECK(again.body == once.body);
    CHECK(again.fields.size() == once.fields.size());
}

}  // namespace larder::tests
