// RFC 9211: the parameters of Cache-Status that other stories do not show.
#include "tests/support/answers.hpp"
#include "tests/support/stage.hpp"

namespace larder::tests {

namespace {

const char* const page_rules = R"(
rules:
  - name: page
    match: GET /pages/{id}
    key: 'page:{id}:{query.q|}"x'
    ttl: 60s
)";

}  // namespace

TEST_CASE("a trusted client that asks is told the key, as a string that a parser of structured fields can read")
{
    Stage stage(over<Embedded>(page_rules, "trusted_proxies: [127.0.0.1]\n"));
    const std::vector<std::string> ask = {"Larder-Debug: key"};
    CHECK(stage.get("/pages/1?q=a", ask).cache_status() == R"(larder; fwd=uri-miss; stored; key="page:1:a\"x")");
    CHECK(stage.origin.last("/pages/1?q=a").field("Larder-Debug").empty());
    const std::string hit = stage.get("/pages/1?q=a", ask).cache_status();
    CHECK(hit.starts_with("larder; hit; ttl="));
    CHECK(hit.ends_with(R"(; key="page:1:a\"x")"));
    CHECK(stage.get("/pages/1?q=a", {"Larder-Debug: other"}).cache_status().find("key") == std::string::npos);
    CHECK(stage.get("/pages/1?q=a").cache_status().find("key") == std::string::npos);
}

TEST_CASE("anybody else is not, and the app does not see that somebody asked")
{
    Stage stage(over<Embedded>(page_rules, "trusted_proxies: [10.0.0.0/8]\n"));
    CHECK(stage.get("/pages/1", {"Larder-Debug: key"}).cache_status() == "larder; fwd=uri-miss; stored");
    CHECK(stage.origin.last("/pages/1").field("Larder-Debug").empty());
}

}  // namespace larder::tests
