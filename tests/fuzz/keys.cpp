// A request's way through the rules: rule, key, what a write purges. The promise behind it: whatever a write to an
// address looks like, it purges what a read of that address may have stored.
#include <algorithm>
#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>
#include <optional>
#include <string>
#include <vector>

#include "config/load.hpp"
#include "input.hpp"
#include "rules/explain/explain.hpp"
#include "rules/explain/mismatch.hpp"
#include "rules/key/cache_key.hpp"
#include "rules/pattern/pattern.hpp"
#include "rules/verdict/invalidation.hpp"
#include "rules/verdict/judge_request.hpp"
#include "targets.hpp"
#include "tests/unit/rules/match/plain_match.hpp"

namespace larder::fuzz {

namespace {

using namespace rules;

constexpr std::string_view yaml = R"(
upstream: http://127.0.0.1:3000
cache: respect-origin
rules:
  - {name: new, match: "GET /items/new", key: "new", ttl: 60s}
  - {name: new-write, match: "POST|PUT /items/new", purge: ["new"]}
  - {name: item, match: "GET /items/{id}", key: "item:{id}", ttl: 60s}
  - {name: item-write, match: "PUT|PATCH|DELETE /items/{id}", purge: ["item:{id}"]}
  - {name: list, match: "GET /items", key: "items:{query.page|1}:{query.q}", ttl: 60s, query: ignore}
  - {name: list-write, match: "PUT|POST /items", purge: ["items:{query.page|1}:{query.q}"]}
  - {name: mine, match: "GET /me/{part?}", key: "me:{cookie.sid}:{header.X-Tenant|no one?}:{part|all}", ttl: 60s}
  - {name: mine-write, match: "PUT|POST /me/{part?}", purge: ["me:{cookie.sid}:{header.X-Tenant|no one?}:{part|all}"]}
  - {name: files, match: "GET /files/{rest*}", key: "files:{host}:{rest}:{query}", shared: true, ttl: 60s}
  - {name: files-write, match: "PUT|DELETE /files/{rest*}", purge: ["files:{host}:{rest}:{query}"]}
  - {name: pinned, match: {method: GET, path: "/search", host: shop.test, query: {kind: book, q: null},
     header: {X-Api: "2"}}, key: "search:{query.q}:{method}", ttl: 60s}
  - {name: pinned-write, match: {method: PUT, path: "/search", host: shop.test}, purge: ["search:{query.q}:*"]}
  - {name: plain, match: "GET /plain/{a}/{b}/", ttl: 60s}
  - {name: plain-write, match: "PUT /plain/{a}/{b}/", purge: ["{host}:{path}:{query}"]}
  - {name: feed, match: "GET /feed/{rest*}", key: "feed:{rest}:{query}", ignore_query: [utm_*, "ref"], ttl: 60s}
  - {name: off, match: "GET /private/{rest*}", cache: off}
  - {name: body, match: "PUT|POST|PATCH /{rest*}", purge: ["user:{body.user.id}:*", "tag:{body.tags.0|none}",
     "made:{response.header.Location}", "{rest}:{body.a}:{body.b}"]}
)";

const config::Config& configuration()
{
    static const config::ConfigPtr loaded = [] {
        const auto nothing = [](std::string_view) { return std::optional<std::string>(); };
        config::Loaded result = config::load_text(yaml, "fuzz.yaml", nothing);
        for (const config::Message& message : result.messages)
            if (message.severity == config::Severity::error) throw std::logic_error(message.to_string("fuzz.yaml"));
        return result.config;
    }();
    return *loaded;
}

/// A rule that is found by the tree is the one that a plain look at each rule finds.
void check_matcher(const RequestView& request)
{
    const std::vector<Rule>& all = configuration().rules;
    const Matcher& matcher = *configuration().matcher;
    PathValues values;
    const auto first = std::find_if(all.begin(), all.end(), [&](const Rule& rule) {
        return !rule.is_purge() && rules::test::matches_rule(rule, request, values);
    });
    const Matched found = matcher.match_cache(request);
    expect(found.rule == (first == all.end() ? nullptr : &*first), "the tree finds the first rule that matches");
    std::vector<Matched> purges;
    matcher.match_purge(request, purges);
    std::size_t count = 0;
    for (const Rule& rule : all) {
        if (!rule.is_purge() || !rules::test::matches_rule(rule, request, values)) continue;
        expect(count < purges.size() && purges[count].rule == &rule, "the tree finds every purge rule that matches");
        ++count;
    }
    expect(count == purges.size(), "and no other");
}

bool purges(const std::vector<PurgeTarget>& targets, std::string_view key)
{
    return std::any_of(targets.begin(), targets.end(), [&](const PurgeTarget& target) {
        return target.exact ? target.text == key : matches(target.text, key);
    });
}

void check_targets(const std::vector<PurgeTarget>& targets)
{
    for (const PurgeTarget& target : targets) {
        expect(is_visible(target.text), "a purge is visible ASCII");
        expect(target.text.find_first_of("?\\{}") == std::string::npos, "no value becomes syntax of a pattern");
        expect(target.exact == (target.text.find('*') == std::string::npos), "what has no wildcard is one key");
        expect(!target.widened || !target.exact, "what is widened has a wildcard");
    }
}

/// The same request, sent as another method.
RequestHead sent_as(RequestHead head, Method method, std::string_view name)
{
    head.method = method;
    head.method_text = name;
    return head;
}

/// Other ways to write the same path, that some server or other leads to the same place.
std::vector<std::string> spellings(std::string_view path)
{
    Chance chance(hash_of(path));
    std::string encoded;
    for (const char c : path) {
        const bool unreserved = is_alpha(c) || is_digit(c) || c == '-' || c == '_' || c == '~';
        const bool inside_escape = encoded.ends_with('%') || (encoded.size() > 1 && encoded[encoded.size() - 2] == '%');
        if (unreserved && !inside_escape && chance.one_in(3)) {
            const auto byte = static_cast<unsigned char>(c);
            constexpr std::string_view digits = "0123456789abcdef";
            ((encoded += '%') += digits[byte >> 4]) += digits[byte & 15];
        } else {
            encoded += c;
        }
    }
    std::vector<std::string> all{encoded};
    std::size_t slash = chance.below(path.size());
    slash = path.rfind('/', slash);
    for (const char* wide : {"//", "/./", "/z/../", "/%2e/", "/;a=b/"})
        all.push_back(std::string(path.substr(0, slash)) + wide + std::string(path.substr(slash + 1)));
    const std::size_t end = path.find('/', slash + 1);
    if (end != std::string_view::npos && end > slash + 1)
        all.push_back(std::string(path.substr(0, end)) + ";jsessionid=1" + std::string(path.substr(end)));
    return all;
}

/// What was stored for a GET is purged by a PUT to the same address, by rule and by RFC 9111 §4.4.
void check_write(const RequestHead& get, std::string_view path, const Rule& rule, std::string_view key)
{
    const RequestHead put_head = sent_as(get, Method::put, "PUT");
    const RequestView put{&put_head, path, put_head.authority};
    std::vector<PurgeTarget> voided;
    append_invalidated(voided, *configuration().matcher, CacheMode::respect_origin, get.authority, get.path, get.query);
    check_targets(voided);
    expect(purges(voided, key), "a write voids what a read of its address has stored");

    std::vector<Matched> found;
    configuration().matcher->match_purge(put, found);
    const auto writes = std::find_if(found.begin(), found.end(),
                                     [&](const Matched& one) { return one.rule->name == rule.name + "-write"; });
    if (rule.name == "respect-origin" || rule.name == "feed") return;  // no purge rule has the same key
    expect(writes != found.end(), "a purge rule with a cache rule's path matches what that matches");
    std::vector<PurgeTarget> targets;
    append_purge_targets(targets, *writes->rule, put, writes->values, {});
    check_targets(targets);
    expect(purges(targets, key), "a purge rule with a cache rule's key purges it");

    for (const std::string& spelling : spellings(path)) {
        std::string scratch;
        const NormalPath normal = normalise_path(spelling, scratch);
        const RequestView other{&put_head, normal.text, put_head.authority};
        found.clear();
        targets.clear();
        configuration().matcher->match_purge(other, found);
        for (const Matched& one : found)
            if (one.rule->name == rule.name + "-write") append_purge_targets(targets, *one.rule, other, one.values, {});
        expect(purges(targets, key), "and so does a write that spells the path in another way");
    }
}

void check_lookup(const RequestHead& head, std::string_view path, PathForm form)
{
    const Matcher& matcher = *configuration().matcher;
    const RequestView view{&head, path, head.authority};
    std::string key;
    const RequestJudgement judged = judge_request(matcher, CacheMode::respect_origin, view, form, key);
    const auto reasons = pass_reasons(matcher, CacheMode::respect_origin, view, form);
    expect((reasons.empty() ? Forward::none : reasons.front().reason) == judged.bypass,
           "the first of all reasons is the one that is told");
    for (const Rule& rule : configuration().rules)
        expect(mismatch(rule, view) != "its parts do not fit together", "a rule that does not match says why");
    if (judged.bypass != Forward::none) return;
    expect(judged.rule && judged.rule->cache, "what is looked up has a rule");
    expect(form != PathForm::ambiguous, "what can be read in two ways is not looked up");
    expect(is_visible(key) && key.find_first_of("*?{}\\") == std::string::npos,
           "a key is visible ASCII without wildcards");

    std::string again;
    judge_request(matcher, CacheMode::respect_origin, view, form, again);
    expect_same(key, again, "a request has one key");
    const RequestHead other =
        head.method == Method::get ? sent_as(head, Method::head, "HEAD") : sent_as(head, Method::get, "GET");
    again.clear();
    judge_request(matcher, CacheMode::respect_origin, {&other, path, head.authority}, form, again);
    expect_same(key, again, "HEAD asks for what GET asks for");
    check_write(sent_as(head, Method::get, "GET"), path, *judged.rule, key);

    // What the app is asked for has the same key, and is asked for in the same form then.
    std::string query;
    append_fill_query(query, *judged.rule, view);
    expect(query.empty() || (query.front() == '?' && is_visible(query)), "a query is visible ASCII behind its mark");
    const std::string host = normalise_host(head.authority);
    RequestHead asked = head;
    asked.query = query.empty() ? std::string_view{} : std::string_view(query).substr(1);
    asked.has_query = !query.empty();
    asked.authority = host;
    const RequestView asked_view{&asked, path, host};
    again.clear();
    const RequestJudgement asked_judged = judge_request(matcher, CacheMode::respect_origin, asked_view, form, again);
    expect(asked_judged.bypass == Forward::none && asked_judged.rule == judged.rule, "what is asked for is looked up");
    expect_same(key, again, "what is asked for is what the key says");
    std::string query_again;
    append_fill_query(query_again, *judged.rule, asked_view);
    expect_same(query, query_again, "what shares a key is asked for alike");
}

/// Of a parameter that stands twice a server takes the first, or the last, or both: what it would have purged with any
/// of them is purged.
void check_repeated(const RequestView& request)
{
    std::vector<Parameter> parameters;
    split_query(request.head->query, parameters);
    std::vector<Matched> found;
    configuration().matcher->match_purge(request, found);
    for (std::size_t left_out = 0; left_out < std::min<std::size_t>(parameters.size(), 8); ++left_out) {
        const std::string name = decode_parameter(parameters[left_out].name);
        std::string query;
        std::size_t others = 0;
        for (std::size_t i = 0; i < parameters.size(); ++i) {
            if (i == left_out) continue;
            if (parameter_is(parameters[i].name, name)) ++others;
            query.append(query.empty() ? "" : "&").append(parameters[i].name);
            if (parameters[i].has_value) query.append("=").append(parameters[i].value);
        }
        if (others == 0) continue;
        RequestHead once = *request.head;
        once.query = query;
        for (const Matched& one : found) {
            if (one.rule->name != "list-write") continue;  // its keys name parameters
            std::vector<PurgeTarget> all, some;
            append_purge_targets(all, *one.rule, request, one.values, {});
            append_purge_targets(some, *one.rule, {&once, request.path, request.host}, one.values, {});
            for (const PurgeTarget& target : some)
                expect(purges(all, target.text), "a parameter that stands twice widens the purge");
        }
    }
}

void check_purges(const RequestView& request, std::string_view body_text)
{
    std::vector<Matched> found;
    configuration().matcher->match_purge(request, found);
    boost::system::error_code ec;
    const boost::json::value body = boost::json::parse({body_text.data(), body_text.size()}, ec);
    Fields response;
    response.all.push_back({"Location", "/items/*?\\:{}%", FieldId::location});
    for (const Matched& one : found) {
        Rule single = *one.rule;
        for (const Template& text : one.rule->purge) {
            single.purge = {text};
            std::vector<PurgeTarget> unknown, known;
            append_purge_targets(unknown, single, request, one.values, {});
            append_purge_targets(known, single, request, one.values, {ec ? nullptr : &body, &response});
            check_targets(unknown);
            check_targets(known);
            if (request.head->body == BodyKind::none && !body_text.empty()) continue;  // then there is no body
            // Of a write whose answer was lost nobody knows what it names: at least what it would have named goes.
            for (const PurgeTarget& target : known)
                expect(!unknown.empty() && (unknown[0].text == target.text || matches(unknown[0].text, target.text)),
                       "what is not known widens the purge");
        }
    }
}

/// Lines may end with LF in an input; a head has CR LF.
std::string with_line_ends(std::string_view head)
{
    std::string out;
    while (!head.empty()) {
        out.append(take_line(head)).append("\r\n");
    }
    return out + "\r\n";
}

}  // namespace

void check_cache_key(std::string_view input)
{
    const std::size_t blank = std::min(input.find("\n\n"), input.size());
    const std::string bytes = with_line_ends(input.substr(0, blank));
    const std::string_view body = input.substr(std::min(blank + 2, input.size()));
    RequestHead head;
    if (scan_request(bytes, {}, head) != Scan::ok) return;
    std::string scratch;
    const NormalPath path = normalise_path(head.path, scratch);
    const RequestView view{&head, path.text, head.authority};
    check_matcher(view);
    check_lookup(head, path.text, path.form);
    check_purges(view, body);
    check_repeated(view);
}

void check_explain(std::string_view input)
{
    // A line end inside a part is written as the byte 0x1E.
    const auto part = [](std::string_view& from) {
        std::string text;
        for (const char c : take_line(from)) text += c == '\x1e' ? std::string("\r\n") : std::string(1, c);
        return text;
    };
    std::string_view rest = input;
    const std::string method = part(rest), target = part(rest);
    std::vector<std::pair<std::string, std::string>> headers;
    while (!rest.empty()) {
        const std::string line = part(rest);
        const std::size_t colon = line.find(':');
        if (colon != std::string_view::npos)
            headers.emplace_back(line.substr(0, colon), trim(std::string_view(line).substr(colon + 1)));
    }
    const config::Config& config = configuration();
    const Explanation told = explain({config.rules, *config.matcher, config.cache}, method, target, headers);
    boost::system::error_code ec;
    boost::json::parse(to_json(told), ec);
    expect(!ec, "an explanation is a JSON document");
    const std::string text = to_text(told);
    expect(text.ends_with('\n') && std::count(text.begin(), text.end(), '\n') >= 1, "an explanation is lines");
    // An empty line in a part would end the head before its end; one line end more makes another header.
    std::string all = method + ' ' + target.substr(0, target.find('#'));
    for (const auto& [name, value] : headers) all += "\r\n" + name + ": " + value;
    if (all.find("\r\n\r\n") != std::string::npos)
        expect(told.refused.has_value(), "a request with an end inside is not explained");
    for (std::string_view lines = text; !lines.empty();) {
        const std::string_view line = take_line(lines);
        expect(line.find(": ") != std::string_view::npos, "each line is a word and a text");
        expect(is_field_value(line), "no control byte reaches a terminal");
    }
}

}  // namespace larder::fuzz
