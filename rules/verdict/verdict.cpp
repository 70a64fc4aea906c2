#include "rules/verdict/verdict.hpp"

namespace larder::rules {

std::string_view word(Verdict verdict) noexcept
{
    switch (verdict) {
    case Verdict::hit: return "hit";
    case Verdict::stale_hit: return "stale-hit";
    case Verdict::revalidate: return "revalidate";
    case Verdict::miss: return "miss";
    case Verdict::bypass: return "bypass";
    }
    return "unknown";
}

std::string_view word(Forward reason) noexcept
{
    switch (reason) {
    case Forward::none: return "none";
#define X(name, word, fwd, text, change) \
    case Forward::name: return word;
        LARDER_FORWARD_REASONS(X)
#undef X
    }
    return "unknown";
}

std::string_view fwd(Forward reason) noexcept
{
    switch (reason) {
    case Forward::none: return "";
#define X(name, word, fwd, text, change) \
    case Forward::name: return fwd;
        LARDER_FORWARD_REASONS(X)
#undef X
    }
    return "";
}

std::string_view text(Forward reason) noexcept
{
    switch (reason) {
    case Forward::none: return "not forwarded";
#define X(name, word, fwd, text, change) \
    case Forward::name: return text;
        LARDER_FORWARD_REASONS(X)
#undef X
    }
    return "unknown reason";
}

std::string_view remedy(Forward reason) noexcept
{
    switch (reason) {
    case Forward::none: return "";
#define X(name, word, fwd, text, change) \
    case Forward::name: return change;
        LARDER_FORWARD_REASONS(X)
#undef X
    }
    return "";
}

std::string_view word(NotStored reason) noexcept
{
    switch (reason) {
    case NotStored::none: return "none";
#define X(name, word, text, change) \
    case NotStored::name: return word;
        LARDER_STORE_REASONS(X)
#undef X
    }
    return "unknown";
}

std::optional<NotStored> not_stored_of(std::string_view name) noexcept
{
#define X(reason, word, text, change) \
    if (name == word) return NotStored::reason;
    LARDER_STORE_REASONS(X)
#undef X
    return std::nullopt;
}

std::string_view text(NotStored reason) noexcept
{
    switch (reason) {
    case NotStored::none: return "stored";
#define X(name, word, text, change) \
    case NotStored::name: return text;
        LARDER_STORE_REASONS(X)
#undef X
    }
    return "unknown reason";
}

std::string_view remedy(NotStored reason) noexcept
{
    switch (reason) {
    case NotStored::none: return "";
#define X(name, word, text, change) \
    case NotStored::name: return change;
        LARDER_STORE_REASONS(X)
#undef X
    }
    return "";
}

std::string_view word(Outcome outcome) noexcept
{
    switch (outcome) {
#define X(name, word) \
    case Outcome::name: return word;
        LARDER_OUTCOMES(X)
#undef X
    }
    return "unknown";
}

}  // namespace larder::rules
