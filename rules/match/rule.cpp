#include "rules/match/rule.hpp"

namespace larder::rules {

std::optional<Milliseconds> TtlTable::for_status(int status_code) const noexcept
{
    if (const auto found = status.find(status_code); found != status.end()) return found->second;
    if (!any) return std::nullopt;
    switch (status_code) {
    case 200:
    case 203:
    case 204:
    case 300:
    case 301:
    case 308: return any;
    case 404:
    case 410: return *any / 10;
    default: return std::nullopt;
    }
}

const Template& default_key()
{
    static const Template key = parse_template("{host}:{path}:{query}", TemplateUse::key).value;
    return key;
}

}  // namespace larder::rules
