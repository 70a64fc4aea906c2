#include "rules/explain/lint.hpp"

#include <doctest/doctest.h>

#include <algorithm>

#include "tests/unit/rules/rule_text.hpp"

using namespace larder::rules;
using namespace larder::rules::test;

namespace {

Rule kept(Rule rule, std::string name, Milliseconds ttl = std::chrono::minutes{1})
{
    rule.name = std::move(name);
    rule.ttl.any = ttl;
    return rule;
}
Rule named(Rule rule, std::string name)
{
    rule.name = std::move(name);
    return rule;
}

std::vector<Rule> shop()
{
    std::vector<Rule> rules = {
        kept(cache_rule("GET /api/events", "events:list:{query.page|1}"), "event-list"),
        kept(cache_rule("GET /api/events/{id}", "event:{id}"), "event"),
        named(purge_rule("POST|PUT /api/events/{id?}", {"event:{id}", "events:list:*"}), "event-write"),
    };
    number(rules);
    return rules;
}

std::vector<Rule> shop_with(Rule rule)
{
    auto rules = shop();
    rules.push_back(std::move(rule));
    number(rules);
    return rules;
}

/// The words of what is found, and the texts.
std::string found(const std::vector<Rule>& rules, CacheMode mode = CacheMode::rules)
{
    std::string all;
    for (const LintNote& note : lint(rules, mode))
        all += std::string(note.level == LintLevel::note ? "note " : "warning ") + std::string(word(note.lint)) +
               " at " + std::string(note.option) + ": " + note.text + "\n";
    return all;
}

bool has(std::string_view text, std::string_view part) { return text.find(part) != std::string_view::npos; }

}  // namespace

TEST_CASE("each kind of lint finds what it is there for, says what to write instead, and can be silenced")
{
    Rule shared = kept(cache_rule("GET /me/cart", "cart"), "cart");
    shared.shared = true;
    Rule tenant = kept(cache_rule("GET /report", "report:{header.X-Tenant-Id}"), "report");
    Rule header = kept(cache_rule("GET /quota", "quota"), "quota");
    header.match.headers = {{"X-User-Id", std::nullopt}};
    Rule login = kept(cache_rule("GET /inbox", "inbox"), "inbox");
    login.match.headers = {{"Authorization", std::nullopt}};
    Rule override_shared = kept(cache_rule("GET /all", "all"), "all");
    override_shared.shared = true;
    override_shared.cache_control = CacheControlMode::override_;
    Rule query_ignore = kept(cache_rule("GET /q", "q:{query}"), "q");
    query_ignore.query_policy = QueryPolicy::ignore;
    Rule override_alone = named(cache_rule("GET /o", "o"), "o");
    override_alone.cache_control = CacheControlMode::override_;

    struct Row {
        const char* why;
        Lint lint;
        Rule rule;
        const char* part;
    };
    const Row rows[] = {
        {"nothing writes it", Lint::no_purge, kept(cache_rule("GET /news", "news"), "news"),
         "note no-purge at ttl: rule news: no rule purges it: who reads after a write may see the old response"},
        {"writes to the same path purge something else", Lint::no_purge,
         kept(cache_rule("GET /api/events/{id}/comments", "comments:{id}"), "comments"),
         "warning no-purge at key: rule comments: no rule purges it, though event-write is for writes to the same path "
         "(POST|PUT /api/events/{id?}); add a pattern for comments:{id} to it, such as \"comments:*\""},
        {"two hours", Lint::long_ttl_without_purge, kept(cache_rule("GET /old", "old"), "old", std::chrono::hours{2}),
         "warning long-ttl-without-purge at ttl: rule old: kept for more than an hour, and no rule purges it"},
        {"a pattern of no family", Lint::dead_purge, named(purge_rule("POST /users", {"user:{body.id}"}), "w"),
         "warning dead-purge at purge: rule w: purge \"user:{body.id}\" fits no rule's key, so that it purges nothing"},
        {"a pattern that is a part short", Lint::dead_purge, named(purge_rule("POST /lists", {"events:list"}), "w"),
         "write \"events:list:*\": the key of event-list is events:list:{query.page|1}"},
        {"only widened it fits", Lint::dead_purge, named(purge_rule("POST /x", {"events:{body.id}"}), "w"),
         "fits the key events:list:{query.page|1} of event-list only when a value of the write is missing"},
        {"shadowed", Lint::shadowed_rule, kept(cache_rule("GET /api/events/new", "event:new"), "new"),
         "warning shadowed-rule at match: rule new: can never match, because event before it takes all its requests; "
         "put it first"},
        {"the same twice", Lint::shadowed_rule, kept(cache_rule("GET /api/events/{key}", "event:{key}"), "again"),
         "they match the same: remove one of them"},
        {"a page of one user, shared", Lint::identity_not_keyed, shared, "one user's page is shown to all"},
        {"a page of one user, and no user in the key", Lint::identity_not_keyed,
         kept(cache_rule("GET /account/orders", "orders"), "orders"),
         "the path says \"account\", which is another page for each user"},
        {"a tenant counts as who asks", Lint::identity_not_keyed, tenant,
         "{header.X-Tenant-Id} in the key counts as the name of who asks"},
        {"a header of users in match only", Lint::identity_not_keyed, header,
         "match wants X-User-Id with any value, and the key does not have it: all values share one response"},
        {"a login in match only", Lint::identity_not_keyed, login, "so that every request passes by"},
        {"override for all", Lint::shared_private, override_shared, "shows it to everybody"},
        {"{query}", Lint::unbounded_query_key, kept(cache_rule("GET /search", "search:{query}"), "search"),
         "warning unbounded-query-key at key: rule search: the key takes all query parameters ({query})"},
        {"no key", Lint::unbounded_query_key, kept(cache_rule("GET /search"), "search"),
         "note unbounded-query-key at : rule search: without key"},
        {"a value of the path", Lint::path_value_not_keyed, kept(cache_rule("GET /u/{id}/{tab}", "u:{id}"), "u"),
         "lacks {tab} of the path"},
        {"keys that meet", Lint::key_collision, kept(cache_rule("GET /other/{id}", "event:{id}"), "other"),
         "can be the same as that of event"},
        {"everything", Lint::wide_purge, named(purge_rule("POST /all", {"*"}), "w"),
         "covers every key: while such a write is under way, reads of event-list, event pass by"},
        {"query: ignore beside {query}", Lint::useless_option, query_ignore, "query: ignore changes nothing"},
        {"override without a ttl", Lint::useless_option, override_alone, "override changes nothing without a ttl"},
    };
    for (const Row& row : rows) {
        CAPTURE(row.why);
        const std::string text = found(shop_with(row.rule));
        CAPTURE(text);
        CHECK(has(text, row.part));
        Rule silent = row.rule;
        silent.ignore_lint = {std::string(word(row.lint))};
        const auto notes = lint(shop_with(silent));
        CHECK(std::none_of(notes.begin(), notes.end(),
                           [&](const LintNote& note) { return note.lint == row.lint && note.rule == 3; }));
    }
}

TEST_CASE("lint is silent about what is sound")
{
    Rule per_user = kept(cache_rule("GET /me/cart", "cart:{cookie.sid}"), "cart");
    per_user.cache_control = CacheControlMode::override_;
    Rule gateway = kept(cache_rule("GET /me/orders", "orders:{header.X-User-Id}"), "orders");
    Rule both = kept(cache_rule("GET /report", "report:{header.X-Tenant}:{header.Authorization}"), "report");
    Rule shared_tenant = kept(cache_rule("GET /report", "report:{header.X-Tenant}"), "report");
    shared_tenant.shared = true;
    Rule pinned = kept(cache_rule("GET /v2/item", "item2"), "item2");
    pinned.match.headers = {{"X-Api-Version", "2"}};
    Rule language = kept(cache_rule("GET /page", "page:{header.Accept-Language}"), "page");
    Rule keyed = kept(cache_rule("GET /quota", "quota:{header.X-User-Id}"), "quota");
    keyed.match.headers = {{"x-user-id", std::nullopt}};
    Rule shared = kept(cache_rule("GET /top", "top:{query.n|10}"), "top");
    shared.shared = true;
    Rule tagged = kept(cache_rule("GET /tagged", "tagged"), "tagged", std::chrono::hours{48});
    tagged.tags_of_response = true;
    Rule off = named(cache_rule("GET /me/{rest*}"), "off");
    off.cache = false;
    struct Row {
        const char* why;
        Rule rule;
        std::vector<std::string> purge;  // of a write that purges it
    };
    const Row rows[] = {
        {"a cookie in the key tells users apart, so override is safe", per_user, {"cart:{cookie.sid}"}},
        {"a gateway names the user", gateway, {"orders:{header.X-User-Id}"}},
        {"a tenant and the login", both, {"report:*"}},
        {"all of a tenant may share, and the rule says so", shared_tenant, {"report:{header.X-Tenant}"}},
        {"a header that match pins to one value needs no place in the key", pinned, {"item2"}},
        {"a language is no identity", language, {"page:*"}},
        {"names of headers have no case", keyed, {"quota:*"}},
        {"shared, and no path of one user", shared, {"top:*"}},
        {"two days, purged by tags", tagged, {}},
        {"two days, purged by a write",
         kept(cache_rule("GET /d/{id}", "d:{id}"), "d", std::chrono::hours{48}),
         {"d:{body.id}"}},
        {"cache: off needs no key", off, {}},
        {"the origin says how long, and nothing here is written",
         named(cache_rule("GET /static/{rest*}", "s:{rest}"), "s"),
         {}},
        {"a rest is one value",
         kept(cache_rule("GET /files/{rest*}", "f:{rest}"), "f"),
         {"f:{response.header.Location}"}},
        {"a path in the key has all of its values", kept(cache_rule("GET /p/{a}/{b}", "p:{path}"), "p"), {"p:{path}"}},
        {"another slash is another resource", kept(cache_rule("GET /api/events/", "slash"), "slash"), {"slash"}},
        {"a longer key of the same family",
         kept(cache_rule("GET /e/{id}/c", "event:{id}:comments"), "c"),
         {"event:{body.id}:*"}},
        {"a host of its own is no shadow",
         [] {
             Rule rule = kept(cache_rule("GET /api/events/{id}", "b:{id}"), "b");
             rule.match.host = "b.test";
             return rule;
         }(),
         {"b:*"}},
    };
    for (const Row& row : rows) {
        CAPTURE(row.why);
        auto rules = shop();
        // What is for a narrower place stands first.
        rules.insert(rules.begin(), row.rule);
        if (!row.purge.empty()) rules.push_back(named(purge_rule("POST /write", row.purge), "write"));
        number(rules);
        CHECK(found(rules) == "");
    }
    CHECK(found(shop()) == "");
}

TEST_CASE("a default key, which begins with the host, hides no mistake in a purge, and meets no key of segments")
{
    std::vector<Rule> rules = shop();
    Rule bare = kept(cache_rule("GET /search"), "search");
    bare.ignore_lint = {"unbounded-query-key", "no-purge"};
    rules.push_back(bare);
    number(rules);
    CHECK(found(rules) == "");
    rules.push_back(named(purge_rule("POST /users", {"user:{body.id}:*"}), "user-write"));
    number(rules);
    CHECK(has(found(rules), "purge \"user:{body.id}:*\" fits no rule's key"));
    rules.back() = named(purge_rule("POST /search", {"shop.test:/search:*"}), "search-write");
    number(rules);
    CHECK(found(rules) == "");
}

TEST_CASE("of a rule that never matches nothing else is told")
{
    Rule hidden = kept(cache_rule("GET /api/events/x", "hidden:{query}"), "hidden", std::chrono::hours{2});
    const auto notes = lint(shop_with(hidden));
    REQUIRE(notes.size() == 1);
    CHECK(notes[0].lint == Lint::shadowed_rule);
}

TEST_CASE("purges of what the origin's headers alone have stored are not dead")
{
    std::vector<Rule> rules = {named(purge_rule("POST /import", {"{host}:/api/*"}), "import")};
    number(rules);
    CHECK(has(found(rules), "dead-purge"));
    CHECK(found(rules, CacheMode::respect_origin) == "");
}

TEST_CASE("lint names the rules that a wide purge takes from the cache while its write is under way")
{
    const auto with = [](const char* pattern, Fence fence) {
        auto rules = shop();
        rules[2].purge = {template_of(pattern, TemplateUse::purge)};
        rules[2].fence = fence;
        return found(rules);
    };
    CHECK(has(with("event*", Fence::both),
              "covers keys of several rules: while such a write is under way, reads of "
              "event-list, event pass by; name what it changes, one pattern for each rule"));
    CHECK(has(with("*:7", Fence::both), "such as \"events:list:*\""));
    CHECK_FALSE(has(with("event*", Fence::after), "under way"));
    CHECK_FALSE(has(with("events:*", Fence::both), "under way"));
    CHECK_FALSE(has(with("event:{id}*", Fence::both), "under way"));
}

TEST_CASE("a finding names the option, and the item of a list, that it is about")
{
    auto rules = shop();
    rules[2].purge.push_back(template_of("nothing:*", TemplateUse::purge));
    const auto notes = lint(rules);
    REQUIRE(notes.size() == 1);
    CHECK(notes[0].rule == 2);
    CHECK(notes[0].option == "purge");
    CHECK(notes[0].item == 2);
}

TEST_CASE("each kind of finding has a word of its own")
{
    for (const LintKind& kind : lint_kinds()) {
        const auto known = lint_of(kind.word);
        REQUIRE(known);
        CHECK(word(*known) == kind.word);
        CHECK_FALSE(kind.text.empty());
    }
    CHECK_FALSE(lint_of("no-such"));
}
