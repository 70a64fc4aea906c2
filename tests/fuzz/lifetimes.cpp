// Cache-Control, the fields aimed at this cache, dates: no reading of them is fresher than what was written.
#include <algorithm>
#include <string>
#include <vector>

#include "input.hpp"
#include "rules/http/cache_control.hpp"
#include "rules/http/date.hpp"
#include "rules/http/fields.hpp"
#include "rules/http/range.hpp"
#include "rules/http/targeted.hpp"
#include "rules/verdict/judge_store.hpp"
#include "targets.hpp"

namespace larder::fuzz {

namespace {

using namespace rules;
using namespace std::chrono_literals;

// Fri, 21 Nov 2025 10:46:40 GMT
constexpr WallTime now{1'763'722'000'123ms};

constexpr std::optional<Seconds> CacheControl::*lifetimes[] = {
    &CacheControl::max_age,        &CacheControl::s_maxage,  &CacheControl::stale_while_revalidate,
    &CacheControl::stale_if_error, &CacheControl::min_fresh, &CacheControl::max_stale};
constexpr const char* lifetime_names[] = {"max-age",        "s-maxage",  "stale-while-revalidate",
                                          "stale-if-error", "min-fresh", "max-stale"};
constexpr bool CacheControl::*flags[] = {
    &CacheControl::no_store,        &CacheControl::no_cache,        &CacheControl::is_private,
    &CacheControl::is_public,       &CacheControl::must_revalidate, &CacheControl::proxy_revalidate,
    &CacheControl::must_understand, &CacheControl::no_transform,    &CacheControl::immutable,
    &CacheControl::only_if_cached,  &CacheControl::max_stale_any};
constexpr const char* flag_names[] = {"no-store",        "no-cache",         "private",         "public",
                                      "must-revalidate", "proxy-revalidate", "must-understand", "no-transform",
                                      "immutable",       "only-if-cached",   "max-stale"};

void check_ranges(const CacheControl& cc)
{
    for (const auto lifetime : lifetimes)
        expect(!(cc.*lifetime) || ((cc.*lifetime)->count() >= 0 &&
                                   (cc.*lifetime)->count() <= static_cast<std::int64_t>(max_delta_seconds)),
               "a lifetime is between 0 and 2^31 seconds");
}

std::vector<std::string> sorted_names(std::vector<std::string> names)
{
    std::sort(names.begin(), names.end());
    names.erase(std::unique(names.begin(), names.end()), names.end());
    return names;
}

void expect_same_directives(const CacheControl& one, const CacheControl& other, const char* what)
{
    for (const auto lifetime : lifetimes) expect(one.*lifetime == other.*lifetime, what);
    for (const auto flag : flags) expect(one.*flag == other.*flag, what);
    expect(sorted_names(one.no_cache_fields) == sorted_names(other.no_cache_fields), what);
    expect(sorted_names(one.private_fields) == sorted_names(other.private_fields), what);
}

/// Empty: it holds names that no quoted list can say.
std::string print(const CacheControl& cc)
{
    std::string text;
    const auto add = [&text](const std::string& directive) { text += (text.empty() ? "" : ", ") + directive; };
    for (std::size_t i = 0; i < std::size(flags); ++i)
        if (cc.*flags[i]) add(flag_names[i]);
    for (std::size_t i = 0; i < std::size(lifetimes); ++i)
        if (cc.*lifetimes[i]) add(lifetime_names[i] + ("=" + std::to_string((cc.*lifetimes[i])->count())));
    for (const auto* names : {&cc.no_cache_fields, &cc.private_fields}) {
        std::string list;
        for (const std::string& name : *names) {
            if (!is_token(name)) return {};
            list += (list.empty() ? "" : ", ") + name;
        }
        if (!list.empty()) add((names == &cc.no_cache_fields ? "no-cache=\"" : "private=\"") + list + '"');
    }
    return text;
}

/// Is a quoted string of the line still open at its end?
bool ends_in_quotes(std::string_view line)
{
    bool quoted = false;
    for (std::size_t i = 0; i < line.size(); ++i) {
        if (quoted && line[i] == '\\')
            ++i;
        else if (line[i] == '"')
            quoted = !quoted;
    }
    return quoted;
}

}  // namespace

void check_cache_control(std::string_view input)
{
    std::string lines, shouted;
    bool open_quote = false;
    for (std::string_view rest = input; !rest.empty();) {
        const std::string_view value = take_line(rest);
        if (!is_field_value(value)) continue;
        lines.append("Cache-Control: ").append(value).append("\n");
        open_quote = open_quote || ends_in_quotes(trim(value));
    }
    shouted = lines;
    for (char& c : shouted) c = c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c;

    std::string_view rest = lines, shouted_rest = shouted;
    Fields fields = take_fields(rest);
    const CacheControl cc = parse_cache_control(fields);
    check_ranges(cc);
    expect(cc.present == !fields.all.empty(), "it is there when a line is");
    expect(!open_quote || (cc.no_store && cc.open_quote), "what an open quote may have swallowed forbids storing");
    expect_same_directives(cc, parse_cache_control(take_fields(shouted_rest)), "case means nothing");

    if (!open_quote) {
        CacheControl joined;
        parse_cache_control(combined_value(fields, FieldId::cache_control), joined);
        expect_same_directives(cc, joined, "several lines are one list");
    }
    if (const std::string printed = print(cc); !printed.empty()) {
        CacheControl again;
        parse_cache_control(printed, again);
        expect_same_directives(cc, again, "directives are read back as they were");
    }
    std::reverse(fields.all.begin(), fields.all.end());
    expect_same_directives(cc, parse_cache_control(fields), "the order of lines means nothing");
    const Fields once = fields;
    fields.all.insert(fields.all.end(), once.all.begin(), once.all.end());
    expect_same_directives(cc, parse_cache_control(fields), "what is said twice is said once");

    const RequestDirectives request = request_directives(once);
    expect(!request.max_stale || request.max_stale->count() >= 0, "a request cannot ask for less than nothing");
}

void check_policy(std::string_view input)
{
    ResponseHead response;
    response.status = 200;
    std::string_view rest = input;
    if (input.size() > 3 && input[3] == '\n') {  // another status
        if (const auto status = parse_digits(input.substr(0, 3)); status && *status >= 100 && *status <= 599)
            response.status = static_cast<int>(*status);
        take_line(rest);
    }
    response.fields = take_fields(rest);
    const Fields& fields = response.fields;
    const CachePolicy policy = cache_policy(fields);
    check_ranges(policy.directives);

    // What was not chosen says nothing.
    Fields others = fields;
    std::erase_if(others.all, [&](const Field& field) {
        const bool is_policy = field.id == FieldId::cache_control || field.id == FieldId::cdn_cache_control ||
                               field.id == FieldId::larder_cache_control;
        return is_policy && !equals_ignoring_case(field.name, word(policy.source));
    });
    const CachePolicy alone = cache_policy(others);
    expect(alone.source == policy.source, "the chosen field is chosen when it is alone");
    expect_same_directives(alone.directives, policy.directives, "the other fields add nothing");

    const auto expires = expires_lifetime(fields, now);
    const Lifetime lifetime = freshness_lifetime(policy.directives, expires, std::nullopt);
    expect(lifetime.value.count() >= 0, "no lifetime is negative");
    expect(initial_age(fields, now - 30ms, now).count() >= 0, "no age is negative");

    RequestHead request;
    request.method = Method::get;
    request.method_text = "GET";
    Rule respect, override_;
    override_.cache_control = CacheControlMode::override_;
    override_.ttl.any = 60s;
    override_.stale_while_revalidate = 30s;
    for (const Rule& rule : {respect, override_}) {
        const StoreJudgement of_part = judge_store(request, response, rule, now - 30ms, now, true);
        if (of_part.reason == NotStored::none && response.status == 206)
            expect(parse_content_range(fields.value(FieldId::content_range)).has_value() && !fields.has(FieldId::vary),
                   "a part is stored when it says which it is");
        const StoreJudgement judged = judge_store(request, response, rule, now - 30ms, now);
        const CacheControl& cc = policy.directives;
        if (cc.no_store && (!cc.must_understand || cc.open_quote))
            expect(judged.reason != NotStored::none, "no-store is not stored");
        if (rule.cache_control == CacheControlMode::respect)
            expect(!cc.is_private || judged.reason != NotStored::none, "private is not stored");
        if (judged.reason != NotStored::none) continue;
        expect(response.status >= 200 && response.status != 206 && response.status != 304,
               "only whole answers are stored");
        expect(!fields.has(FieldId::set_cookie), "nobody's cookie is stored");

        const StoredTimes& times = judged.times;
        expect(times.initial_age.count() >= 0 && times.lifetime.count() >= 0 &&
                   times.stale_while_revalidate.count() >= 0 && times.stale_if_error.count() >= 0,
               "nothing that is stored is negative");
        const auto behind = std::chrono::floor<Seconds>(times.lifetime);
        Milliseconds last_age{-1};
        bool was_hit = true;
        for (const Milliseconds later :
             {Milliseconds{0}, Milliseconds{1}, Milliseconds{behind}, times.lifetime, times.lifetime + 1ms,
              times.lifetime + times.stale_while_revalidate, times.lifetime + times.stale_while_revalidate + 1ms,
              Milliseconds{400 * 24h}}) {
            const LookupJudgement lookup = judge_lookup(times, now + later);
            const bool hit = lookup.verdict == Verdict::hit;
            expect(!hit || lookup.age < times.lifetime, "a hit is younger than its lifetime");
            expect(lookup.verdict != Verdict::stale_hit || !times.must_revalidate,
                   "what must be validated is never stale");
            expect(lookup.age >= times.initial_age, "nothing gets younger");
            if (later >= last_age) {
                expect(was_hit || !hit, "what has expired does not come back");
                last_age = later;
                was_hit = hit;
            }
        }
    }
}

void check_date(std::string_view input)
{
    const WallTime at[] = {WallTime{}, now, std::chrono::sys_days(std::chrono::year(2099) / 12 / 31) + 23h};
    for (const WallTime present : at) {
        const auto time = parse_date(input, present);
        std::string other_case(input);
        for (char& c : other_case) c = is_alpha(c) ? static_cast<char>(c ^ 0x20) : c;
        expect(time == parse_date(other_case, present), "a date has no case");
        if (!time) continue;
        const std::string printed = format_date(*time);
        expect(printed.size() == 29, "a date has 29 bytes");
        const auto again = parse_date(printed, present);
        expect(again && *again == *time, "a date is read back as it was");
        // "Sun, 06 Nov 1994 08:49:37 GMT" is what it says; a leap second is the one behind it.
        if (input.size() == 29 && input[3] == ',' && input.substr(23, 2) != "60")
            expect(equals_ignoring_case(input.substr(5), printed.substr(5)), "a date is the time that it says");
        const bool two_digits = input.find('-') != std::string_view::npos;
        if (two_digits)
            expect(*time <= present + std::chrono::years(50) + std::chrono::days(1), "fifty years ahead at most");
    }
}

}  // namespace larder::fuzz
