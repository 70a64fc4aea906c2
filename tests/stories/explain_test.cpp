// What an operator is told: explain, the debug field and check; and that it is what Larder then does.
#include <algorithm>
#include <boost/json/parse.hpp>

#include "tests/support/answers.hpp"
#include "tests/support/stage.hpp"

namespace larder::tests {

namespace {

namespace json = boost::json;

const char* const shop_rules = R"(
rules:
  - name: item
    match: GET /items/{id}
    key: item:{id}:{query.view|short}
    ttl: 60s
    ignore_query: tracking
  - name: cart
    match: GET /cart
    key: cart:{cookie.sid}
    ttl: 60s
    cache_control: override
  - name: off
    match: GET /admin/{rest*}
    cache: off
  - name: page
    match: {method: GET, path: "/pages/{id}", query: {full: "1"}, header: {X-Api: null}}
    key: page:{id}:{header.X-Api}
    ttl: 60s
    shared: true
  - name: item-write
    match: PUT|PATCH /items/{id}
    purge: ["item:{id}:*"]
  - name: page-write
    match: POST /pages
    purge: ["page:{body.id}:*"]
)";

std::string encoded(const std::string& text)
{
    constexpr const char* hex = "0123456789ABCDEF";
    std::string out;
    for (const char c : text) {
        const auto byte = static_cast<unsigned char>(c);
        if (std::isalnum(byte) != 0)
            out += c;
        else
            ((out += '%') += hex[byte >> 4]) += hex[byte & 15];
    }
    return out;
}

json::object explained(Stage& stage, const std::string& method, const std::string& target,
                       const std::vector<std::string>& fields)
{
    std::string query = "/explain?format=json&method=" + method + "&url=" + encoded(target);
    for (const std::string& field : fields) query += "&header=" + encoded(field);
    const Response answer = stage.larder->admin("GET", query);
    CAPTURE(answer.body);
    REQUIRE(answer.status == 200);
    REQUIRE(answer.field("Content-Type") == "application/json");
    return json::parse(answer.body).as_object();
}

std::string text_of(const json::value& value) { return std::string(value.as_string().c_str()); }

/// The member of a structured dictionary, with its quotes.
std::string member(const std::string& dictionary, const std::string& name)
{
    const std::string before = dictionary.starts_with(name + "=") ? name + "=" : ", " + name + "=";
    const std::size_t at = dictionary.find(before);
    if (at == std::string::npos) return "";
    const std::size_t begin = at + before.size();
    const bool quoted = dictionary[begin] == '"';
    const std::size_t end = quoted ? dictionary.find('"', begin + 1) + 1 : dictionary.find(',', begin);
    return dictionary.substr(begin, std::min(end, dictionary.size()) - begin);
}

}  // namespace

TEST_CASE("what explain says of a request is what Larder does with it: verdict, reason, rule and key")
{
    Stage stage(over<Embedded>(shop_rules, "trusted_proxies: [127.0.0.1]\nlog: {access: all}\n"));
    struct Row {
        const char* method;
        const char* target;
        std::vector<std::string> fields;
    };
    const Row rows[] = {
        {"GET", "/items/1", {}},
        {"GET", "/items/%32?view=a:b&utm_source=x", {}},
        {"GET", "/items/3?x=1", {}},
        {"GET", "/items/4?view=1&view=2", {}},
        {"GET", "/items/5", {"Cookie: a=b"}},
        {"GET", "/items/6", {"Authorization: Bearer x", "Cookie: a=b"}},
        {"GET", "/items/7/", {}},
        {"GET", "/items//8", {}},
        {"GET", "/items/9", {"If-Match: \"x\""}},
        {"HEAD", "/items/10", {}},
        {"GET", "/cart", {"Cookie: sid=1"}},
        {"GET", "/cart", {"Cookie: other=1"}},
        {"GET", "/admin/users", {}},
        {"GET", "/pages/1?full=1", {"X-Api: 2", "Cookie: sid=1"}},
        {"GET", "/pages/1?full=1", {}},
        {"GET", "/pages/1?full=2", {"X-Api: 2"}},
        {"GET", "/nothing", {}},
        {"OPTIONS", "/items/1", {}},
    };
    for (const Row& row : rows) {
        const std::string what = std::string(row.method) + " " + row.target;
        CAPTURE(what);
        const json::object told = explained(stage, row.method, row.target, row.fields);
        std::vector<std::string> fields = row.fields;
        fields.push_back("Larder-Debug: key, explain");
        const Response answer = stage.request(row.method, row.target, fields);
        const std::string status = answer.cache_status(), line = answer.field("Larder-Explain");
        CAPTURE(status);
        CAPTURE(line);
        const bool is_looked_up = told.at("verdict") == "lookup";
        CHECK((member(line, "verdict") == "miss" || std::string(row.method) == "HEAD") == is_looked_up);
        if (is_looked_up) {
            CHECK(member(line, "key") == "\"" + text_of(told.at("key").at("value")) + "\"");
            CHECK(contains(status, "; key=\"" + text_of(told.at("key").at("value")) + "\""));
        } else {
            const json::object& first = told.at("passes_by").at(0).as_object();
            CHECK(member(line, "reason") == text_of(first.at("reason")));
            if (const json::value* parameter = first.if_contains("parameter"); parameter && !contains(what, "view=1"))
                CHECK(member(line, "parameter") == "\"" + text_of(*parameter) + "\"");
            const json::value* change = first.if_contains("switch");
            CHECK(member(line, "switch") == (change ? "\"" + text_of(*change) + "\"" : ""));
        }
        if (told.at("rule").is_object())
            CHECK(member(line, "rule") == "\"" + text_of(told.at("rule").at("name")) + "\"");
        else
            CHECK(member(line, "rule").empty());
    }
}

TEST_CASE("the writes that explain names for a key do purge it, and those it does not name do not")
{
    Stage stage(over<Embedded>(shop_rules));
    stage.fill("/items/7");
    stage.fill("/items/8");
    const json::object told = explained(stage, "GET", "/items/7", {});
    REQUIRE(told.at("purged_by").as_array().size() == 1);
    const std::string example = text_of(told.at("purged_by").at(0).at("example"));
    CHECK(example == "PUT /items/7");
    const json::object write = explained(stage, "PUT", "/items/7", {});
    CHECK(write.at("writes").at(0).at("patterns").at(0).at("purges") == "item:7:*");
    CHECK(write.at("writes").at(0).at("patterns").at(0).at("reaches").at(0) == "item");
    CHECK(stage.request("PUT", "/items/7", {}, "x").status == 200);
    CHECK(contains(stage.get("/items/7").cache_status(), "detail=purged"));
    CHECK(is_hit(stage.get("/items/8")));
}

TEST_CASE("Larder-Explain says how long and who has said so, for misses and hits, and is one valid line")
{
    Stage stage(over<Embedded>(shop_rules, "trusted_proxies: [127.0.0.1]\n"));
    stage.origin.on("/items/1").handle(in_turn({answer(200, {"Cache-Control: s-maxage=30"}, "a")}));
    stage.origin.on("/items/2").handle(in_turn({answer(200, {}, "a")}));
    stage.origin.on("/cart").handle(in_turn({answer(200, {"Cache-Control: private"}, "a")}));
    stage.origin.on("/items/3").handle(in_turn({answer(200, {"Set-Cookie: a=b"}, "a")}));
    const std::vector<std::string> ask = {"Larder-Debug: explain"};
    for (const char* verdict : {"miss", "hit"}) {
        CAPTURE(verdict);
        const std::string first = stage.get("/items/1", ask).field("Larder-Explain");
        CAPTURE(first);
        CHECK(member(first, "verdict") == verdict);
        CHECK(member(first, "lifetime") == "30");
        CHECK(member(first, "lifetime-from") == "s-maxage");
        const std::string second = stage.get("/items/2", ask).field("Larder-Explain");
        CHECK(member(second, "lifetime") == "60");
        CHECK(member(second, "lifetime-from") == "ttl");
        const std::string cart = stage.get("/cart", {"Cookie: sid=1", ask[0]}).field("Larder-Explain");
        CHECK(member(cart, "lifetime-from") == "ttl-override");
        CHECK(member(cart, "key") == "\"cart:1\"");
    }
    const std::string unstored = stage.get("/items/3", ask).field("Larder-Explain");
    CAPTURE(unstored);
    CHECK(member(unstored, "not-stored") == "set-cookie");
    CHECK(member(unstored, "not-stored-switch") == "\"strip_set_cookie: true\"");
    CHECK(member(unstored, "lifetime").empty());
    CHECK(stage.get("/items/1").field("Larder-Explain").empty());
    CHECK(stage.origin.last("/items/1").field("Larder-Debug").empty());
}

TEST_CASE("Larder-Explain is for trusted clients only")
{
    Stage stage(over<Embedded>(shop_rules, "trusted_proxies: [10.0.0.0/8]\n"));
    for (const char* target : {"/items/1", "/items/1", "/nothing"})
        CHECK(stage.get(target, {"Larder-Debug: explain, key"}).field("Larder-Explain").empty());
}

TEST_CASE("the admin port explains as text, and as JSON when that is asked for or accepted")
{
    Stage stage(over<Embedded>(shop_rules));
    const Response text = stage.larder->admin("GET", "/explain?url=/items/7");
    CHECK(text.field("Content-Type") == "text/plain; charset=utf-8");
    CHECK(contains(text.body, "key: item:7:short   from item:{id}:{query.view|short}\n"));
    HttpClient client(stage.larder->admin_port());
    const Response accepted = client.get("/explain?url=/items/7", {"Accept: text/html;q=0.5, application/json"});
    CHECK(accepted.field("Content-Type") == "application/json");
    CHECK(json::parse(accepted.body).at("key").at("value") == "item:7:short");
    CHECK(stage.larder->admin("GET", "/explain?url=/&format=xml").status == 400);
}

TEST_CASE("with LARDER_CACHE=off explain says so, and what would be done else")
{
    StageOptions options = over<Embedded>(shop_rules);
    options.environment = {"LARDER_CACHE=off"};
    Stage stage(options);
    const json::object told = explained(stage, "GET", "/items/7", {});
    CHECK(told.at("cache") == "off");
    CHECK(told.at("passes_by").at(0).at("reason") == "cache-off");
    CHECK(told.at("key").at("value") == "item:7:short");
    CHECK(contains(stage.get("/items/7").cache_status(), "detail=cache-off"));
}

TEST_CASE("larder explain on the command line tells the same as text and as JSON")
{
    const TemporaryDirectory directory;
    const std::string file =
        directory.write("larder.yaml", "upstream: http://127.0.0.1:3000\n" + std::string(shop_rules));
    const Finished text = run_larder({"explain", file, "GET", "/items/7?x=1"});
    CHECK(text.exit_code == 0);
    CHECK(contains(text.standard_output, "not: cart (line 9): GET /cart; segment 1 of the path is"));
    const Finished document = run_larder({"explain", "--format", "json", file, "GET", "/items/7?x=1"});
    CHECK(document.exit_code == 0);
    const json::value told = json::parse(document.standard_output);
    CHECK(told.at("passes_by").at(0).at("parameter") == "x");
    CHECK(run_larder({"explain", "--format", "xml", file, "GET", "/"}).exit_code == 2);
}

TEST_CASE("larder check: warnings pass, --strict fails on them, and what is silenced is not told")
{
    const TemporaryDirectory directory;
    const std::string head =
        "upstream: http://127.0.0.1:3000\nrules:\n  - {name: old, match: GET /old, key: old, ttl: 2h";
    const std::string warned = directory.write("warned.yaml", head + "}\n");
    const std::string silenced = directory.write("silenced.yaml", head + ", ignore_lint: long-ttl-without-purge}\n");
    const std::string broken = directory.write("broken.yaml", "upstream: [\n");
    const Finished told = run_larder({"check", warned});
    CHECK(told.exit_code == 0);
    CHECK(contains(told.standard_output, warned + ":3:49: warning: rule old: kept for more than an hour"));
    CHECK(contains(told.standard_output, "ignore_lint: [long-ttl-without-purge]"));
    CHECK(run_larder({"check", "--strict", warned}).exit_code == 1);
    CHECK(run_larder({"check", "--strict", silenced}).exit_code == 0);
    CHECK(run_larder({"check", silenced, broken}).exit_code == 1);
    CHECK(run_larder({"check", "--format", "xml", warned}).exit_code == 2);

    const Finished sarif = run_larder({"check", "--format", "sarif", warned, silenced, broken});
    CHECK(sarif.exit_code == 1);
    const json::value log = json::parse(sarif.standard_output);
    CHECK(log.at("version") == "2.1.0");
    CHECK(log.at("runs").at(0).at("results").as_array().size() == 2);
    const Finished document = run_larder({"check", "--strict", "--format", "json", warned, silenced});
    CHECK(document.exit_code == 1);
    CHECK(json::parse(document.standard_output).at("warnings").as_int64() == 1);
}

TEST_CASE("notes are told by check and not at the start, where they would come each time")
{
    const std::string rules = "rules:\n  - {name: news, match: GET /news, key: news, ttl: 1m}\n";
    const TemporaryDirectory directory;
    const std::string file = directory.write("larder.yaml", "upstream: http://127.0.0.1:3000\n" + rules);
    const Finished told = run_larder({"check", file});
    CHECK(told.exit_code == 0);
    CHECK(contains(told.standard_output, ": note: rule news: no rule purges it"));
    CHECK(run_larder({"check", "--strict", file}).exit_code == 1);
    Stage stage(over<Embedded>(rules));
    CHECK_FALSE(contains(stage.larder->log(), "no rule purges it"));
}

}  // namespace larder::tests
