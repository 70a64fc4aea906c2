// What `larder check` says: kinds of findings, how they are silenced, and the reports for programs.
#include "config/report.hpp"

#include <boost/json/parse.hpp>
#include <set>

#include "config/findings.hpp"
#include "support.hpp"

namespace larder::config {

namespace {

namespace json = boost::json;

const char* const doubtful = R"(upstream: http://127.0.0.1:3000
rules:
  - name: old
    match: GET /old
    key: old
    ttl: 2h
  - name: write
    match: PUT /old
    purge:
      - "older"
)";

CheckedFile checked(std::string name, std::string_view yaml)
{
    return {std::move(name), load_text(yaml, "f", environment_of({})).messages};
}

std::vector<std::string> ids_of(std::string_view yaml)
{
    std::vector<std::string> ids;
    for (const Message& message : load_text(yaml, "f", environment_of({})).messages) ids.emplace_back(message.id);
    return ids;
}

}  // namespace

TEST_CASE("every finding has the id of its kind")
{
    struct Row {
        const char* id;
        const char* yaml;
    };
    const Row rows[] = {
        {"syntax", "a: [b"},
        {"missing-option", ""},
        {"missing-option", "listen: :80\n"},
        {"unknown-option", "upstream: http://a\nmemry: 1MiB\n"},
        {"variable", "upstream: ${NOT_THERE}\n"},
        {"bad-value", "upstream: http://a\nmemory: much\nrules: []\ncache: respect-origin\n"},
        {"bad-combination", "upstream: http://127.0.0.1:80\nlisten: 127.0.0.1:80\n"},
        {"no-rules", "upstream: http://127.0.0.1:3000\n"},
        {"unusual-method",
         "upstream: http://a\nrules:\n  - match: GET /\n    key: a\n  - match: PURGEX /\n    purge: a\n"},
        {"no-purge", "upstream: http://a\nrules:\n  - match: GET /\n    key: a\n    ttl: 1m\n"},
        {"bad-value", "upstream: http://a\nrules:\n  - match: GET /\n    key: a\n    ignore_lint: [no-purg]\n"},
    };
    for (const Row& row : rows) {
        CAPTURE(row.yaml);
        const auto ids = ids_of(row.yaml);
        CHECK(ids == std::vector<std::string>{row.id});
    }
    CHECK(load_file("/no/such/file", environment_of({})).messages.at(0).id == "unreadable-file");
    std::set<std::string_view> all;
    for (const FindingKind& kind : finding_kinds()) CHECK(all.insert(kind.id).second);
}

TEST_CASE("a finding stands where its option stands, says how to silence it, and is silent then")
{
    const Loaded loaded = load_text(doubtful, "f", environment_of({}));
    const std::string said = all_messages(loaded);
    CAPTURE(said);
    CHECK(contains(said, "f:6:10: warning: rule old: kept for more than an hour"));
    CHECK(contains(said, "(meant? ignore_lint: [long-ttl-without-purge])"));
    CHECK(contains(said, "f:10:9: warning: rule write: purge \"older\" fits no rule's key"));
    std::string silenced = doubtful;
    silenced.replace(silenced.find("    ttl: 2h"), 11, "    ttl: 2h\n    ignore_lint: [long-ttl-without-purge]");
    silenced += "    ignore_lint: dead-purge\n";
    CHECK(load_text(silenced, "f", environment_of({})).messages.empty());
}

TEST_CASE("an id that no finding has is an error with the nearest one")
{
    CHECK(contains(load_broken("upstream: http://a\nrules:\n  - match: GET /\n    ignore_lint: [no-purg]\n"),
                   "f:4:19: ignore_lint: \"no-purg\" is no finding of larder check; did you mean \"no-purge\"?"));
}

TEST_CASE("the text report has a line for each finding and one with the counts")
{
    const std::string text =
        write_report(ReportFormat::text, {checked("a.yaml", doubtful), checked("b.yaml", "")}, "/");
    CAPTURE(text);
    CHECK(contains(text, "a.yaml:6:10: warning: "));
    CHECK(contains(text, "b.yaml:1:1: the file is empty"));
    CHECK(text.ends_with("2 files: 1 error, 2 warnings\n"));
}

TEST_CASE("the JSON report is one document with files, findings and counts")
{
    const auto report = json::parse(
        write_report(ReportFormat::json, {checked("a.yaml", doubtful), checked("b\xff.yaml", "a: [")}, "/"));
    CHECK(report.at("errors").as_int64() == 1);
    CHECK(report.at("warnings").as_int64() == 2);
    const auto& finding = report.at("files").at(0).at("findings").at(0);
    CHECK(report.at("files").at(0).at("file") == "a.yaml");
    CHECK(finding.at("id") == "long-ttl-without-purge");
    CHECK(finding.at("level") == "warning");
    CHECK(finding.at("line").as_int64() == 6);
    CHECK(finding.at("column").as_int64() == 10);
    CHECK(finding.at("rule") == "old");
    CHECK(report.at("files").at(1).at("findings").at(0).at("id") == "syntax");
}

TEST_CASE("the SARIF report has what code scanning asks for: version, rules, levels, relative files, places")
{
    const auto log = json::parse(write_report(
        ReportFormat::sarif,
        {checked("deploy/a b.yaml", doubtful), checked("/src/x.yaml", "a: ["), checked("../out.yaml", "")}, "/src"));
    CHECK(log.at("version") == "2.1.0");
    CHECK(log.at("$schema") == "https://json.schemastore.org/sarif-2.1.0.json");
    REQUIRE(log.at("runs").as_array().size() == 1);
    const auto& run = log.at("runs").at(0);
    const auto& driver = run.at("tool").at("driver");
    CHECK(driver.at("name") == "larder");
    const auto& rules = driver.at("rules").as_array();
    CHECK(rules.size() == finding_kinds().size());
    for (const auto& rule : rules) {
        CHECK_FALSE(rule.at("shortDescription").at("text").as_string().empty());
        CHECK_FALSE(rule.at("help").at("text").as_string().empty());
    }
    const auto& results = run.at("results").as_array();
    REQUIRE(results.size() == 4);
    for (const auto& result : results) {
        const auto index = static_cast<std::size_t>(result.at("ruleIndex").as_int64());
        CHECK(rules.at(index).at("id") == result.at("ruleId"));
        CHECK_FALSE(result.at("message").at("text").as_string().empty());
        const auto& region = result.at("locations").at(0).at("physicalLocation").at("region");
        CHECK(region.at("startLine").as_int64() >= 1);
        CHECK(region.at("startColumn").as_int64() >= 1);
    }
    const auto uri = [&](std::size_t i) {
        return results.at(i).at("locations").at(0).at("physicalLocation").at("artifactLocation").at("uri");
    };
    CHECK(results.at(0).at("level") == "warning");
    CHECK(uri(0) == "deploy/a%20b.yaml");
    CHECK(results.at(2).at("level") == "error");
    CHECK(uri(2) == "x.yaml");
    CHECK(uri(3) == "file:///out.yaml");

    const auto unreadable = json::parse(write_report(
        ReportFormat::sarif, {{"gone.yaml", load_file("/no/such/file", environment_of({})).messages}}, "/src"));
    const auto& location = unreadable.at("runs").at(0).at("results").at(0).at("locations").at(0).at("physicalLocation");
    CHECK_FALSE(location.as_object().contains("region"));  // it has no line
}

TEST_CASE("rules/README.md has the table of all findings")
{
    CHECK(contains(read_all(std::string(LARDER_SOURCE_DIR) + "/rules/README.md"), findings_markdown()));
}

}  // namespace larder::config
