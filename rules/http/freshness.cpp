#include "rules/http/freshness.hpp"

#include <algorithm>

#include "rules/base/text.hpp"
#include "rules/http/date.hpp"
#include "rules/http/fields.hpp"

namespace larder::rules {
namespace {

std::optional<WallTime> date_of(const Fields& fields, WallTime now)
{
    const Field* date = fields.find(FieldId::date);
    return date ? parse_date(date->value, now) : std::nullopt;
}

/// The value of `Age`: the first member when it is a list, nothing when it is no number (RFC 9111 §5.1).
Seconds age_value(const Fields& fields)
{
    std::string_view first;
    for (const Field& field : fields.all) {
        if (field.id != FieldId::age) continue;
        for_each_element(field.value, [&first](std::string_view element) {
            if (first.empty()) first = element;
        });
    }
    if (first.empty() || !std::all_of(first.begin(), first.end(), is_digit)) return Seconds{0};
    const std::uint64_t value = parse_digits(first).value_or(max_delta_seconds);
    return Seconds{static_cast<std::int64_t>(std::min(value, max_delta_seconds))};
}

}  // namespace

std::string_view word(LifetimeSource source) noexcept
{
    switch (source) {
    case LifetimeSource::s_maxage: return "s-maxage";
    case LifetimeSource::max_age: return "max-age";
    case LifetimeSource::expires: return "expires";
    case LifetimeSource::rule: return "ttl";
    case LifetimeSource::rule_override: return "ttl-override";
    case LifetimeSource::none: return "none";
    }
    return "none";
}

Lifetime freshness_lifetime(const CacheControl& cc, std::optional<Seconds> expires,
                            std::optional<Milliseconds> fallback)
{
    const auto lifetime = [](Milliseconds value, LifetimeSource source) {
        return Lifetime{std::max(value, Milliseconds{0}), source};
    };
    if (cc.s_maxage) return lifetime(*cc.s_maxage, LifetimeSource::s_maxage);
    if (cc.max_age) return lifetime(*cc.max_age, LifetimeSource::max_age);
    if (expires) return lifetime(*expires, LifetimeSource::expires);
    if (fallback) return lifetime(*fallback, LifetimeSource::rule);
    return {};
}

std::optional<Seconds> expires_lifetime(const Fields& fields, WallTime now)
{
    const Field* first = fields.find(FieldId::expires);
    if (!first) return std::nullopt;
    for (const Field& field : fields.all)
        if (field.id == FieldId::expires && field.value != first->value) return Seconds{0};
    const auto expires = parse_date(first->value, now);
    if (!expires) return Seconds{0};
    return std::chrono::floor<Seconds>(*expires - date_of(fields, now).value_or(now));
}

Milliseconds initial_age(const Fields& fields, WallTime requested, WallTime received)
{
    // `Date` has whole seconds: without the floor a response of this very second would be born up to a second old.
    const WallTime received_second = std::chrono::floor<Seconds>(received);
    const WallTime date = date_of(fields, received).value_or(received_second);
    const Milliseconds apparent_age = received_second - date;
    const Milliseconds response_delay = std::max(received - requested, Milliseconds{0});
    return std::max({apparent_age, age_value(fields) + response_delay, Milliseconds{0}});
}

}  // namespace larder::rules
