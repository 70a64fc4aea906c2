// What Larder's rules say about generated cases: one JSON object a line in, one a line out. tests/oracles/semantics
// holds the answers against those of another implementation. No socket, no clock: each case brings its times.
#include <boost/json.hpp>
#include <cstdlib>
#include <iostream>
#include <stdexcept>
#include <string>

#include "rules/http/targeted.hpp"
#include "rules/http/vary.hpp"
#include "rules/verdict/judge_lookup.hpp"
#include "rules/verdict/judge_request.hpp"
#include "rules/verdict/judge_store.hpp"

namespace larder::tests {

namespace {

namespace json = boost::json;
using namespace rules;

/// The rule named `ttl`: a cache rule as a person would write it, `match: GET /{rest*}` and `ttl: 60s`.
std::vector<Rule> ttl_rules()
{
    Rule rule;
    rule.name = "ttl";
    rule.match.methods = {"GET"};
    rule.match.path_text = "/{rest*}";
    rule.match.segments = {{PathSegment::Kind::rest, "rest"}};
    rule.ttl.any = Seconds{60};
    return {rule};
}

/// A request of a case, and what judge_request makes of it.
struct Asked {
    std::string bytes, key;
    RequestHead head;
    RequestJudgement judgement;
};

std::string field_lines(const json::value& message)
{
    std::string lines;
    for (const json::value& field : message.at("fields").as_array())
        ((lines += field.at(0).as_string()) += ": ") += std::string(field.at(1).as_string()) + "\r\n";
    return lines + "\r\n";
}

Asked read_request(const json::value& message, const Matcher& matcher)
{
    Asked asked;
    asked.bytes = std::string(message.at("method").as_string()) + " /a HTTP/1.1\r\nHost: a.test\r\n";
    asked.bytes += field_lines(message);
    if (scan_request(asked.bytes, {}, asked.head) != Scan::ok) throw std::runtime_error("no request: " + asked.bytes);
    const RequestView view{&asked.head, asked.head.path, asked.head.authority};
    asked.judgement = judge_request(matcher, CacheMode::respect_origin, view, PathForm::normal, asked.key);
    return asked;
}

/// Why nothing is stored, as the request path finds it: the request first, then judge_store.
std::string_view judge_storing(const Asked& asked, const ResponseHead& response, WallTime now, StoreJudgement& judged)
{
    if (asked.judgement.bypass != Forward::none) return word(asked.judgement.bypass);
    if (asked.head.method == Method::head) return "head";
    if (parse_cache_control(asked.head.fields).no_store) return word(NotStored::request_no_store);
    judged = judge_store(asked.head, response, *asked.judgement.rule, now, now);
    return judged.reason == NotStored::none ? std::string_view{} : word(judged.reason);
}

std::string_view word_of_use(Verdict verdict)
{
    switch (verdict) {
    case Verdict::hit: return "serve";
    case Verdict::stale_hit: return "serve and ask";
    case Verdict::revalidate:
    case Verdict::miss:
    case Verdict::bypass: return "ask";
    }
    std::abort();
}

/// May what is stored answer this later request?
std::string_view judge_use(const Asked& first, const Asked& later, const ResponseHead& response,
                           const StoredTimes& times, WallTime then)
{
    if (later.judgement.bypass != Forward::none || later.key != first.key) return word_of_use(Verdict::bypass);
    const VarySpec vary = parse_vary(response.fields);
    if (vary_values(vary, first.head.fields) != vary_values(vary, later.head.fields)) return word_of_use(Verdict::miss);
    if (later.judgement.rule->client_cache_control != ClientCacheControl::respect)
        return word_of_use(judge_lookup(times, then).verdict);
    return word_of_use(
        judge_lookup(times, then, request_directives(later.head.fields), cache_policy(response.fields).directives)
            .verdict);
}

json::value judge_case(const json::value& given)
{
    static const std::vector<Rule> none, with_ttl = ttl_rules();
    static const Matcher by_origin(none), by_ttl(with_ttl);
    const Matcher& matcher = given.at("rule").as_string() == "ttl" ? by_ttl : by_origin;
    const WallTime now{Milliseconds{given.at("now").as_int64()}};

    const Asked asked = read_request(given.at("request"), matcher);
    const json::value& answer = given.at("response");
    const std::string bytes =
        "HTTP/1.1 " + std::to_string(answer.at("status").as_int64()) + " X\r\n" + field_lines(answer);
    ResponseHead response;
    const bool to_head = asked.head.method == Method::head;
    if (scan_response(bytes, {}, to_head, response) != Scan::ok) throw std::runtime_error("no response: " + bytes);

    StoreJudgement judged;
    const std::string_view reason = judge_storing(asked, response, now, judged);
    json::object result{{"stored", reason.empty()}};
    if (!reason.empty()) {
        result["reason"] = reason;
        return result;
    }
    const StoredTimes& times = judged.times;
    result["lifetime"] = times.always_revalidate ? 0.0 : static_cast<double>(times.lifetime.count()) / 1000;
    json::array& uses = (result["later"] = json::array()).as_array();
    for (const json::value& one : given.at("later").as_array()) {
        const WallTime then = now + Seconds{one.at("after").as_int64()};
        const Asked later = read_request(one.at("request"), matcher);
        uses.push_back({{"age", static_cast<double>(times.age(then).count()) / 1000},
                        {"use", judge_use(asked, later, response, times, then)},
                        {"on error", may_serve_on_error(times, then)}});
    }
    return result;
}

}  // namespace

}  // namespace larder::tests

int main()
{
    for (std::string line; std::getline(std::cin, line);) {
        try {
            std::cout << boost::json::serialize(larder::tests::judge_case(boost::json::parse(line))) << '\n';
        } catch (const std::exception& error) {
            std::cerr << "judge_cases: " << error.what() << "\nin the case " << line << '\n';
            return 1;
        }
    }
    return 0;
}
