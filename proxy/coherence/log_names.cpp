#include "proxy/coherence/log_names.hpp"

#include "proxy/redis/keyspace.hpp"
#include "rules/pattern/pattern.hpp"

namespace larder::proxy {

std::string key_in_log(std::string_view key)
{
    const BriefKey brief(key);
    return std::string(brief.text());
}

std::string pattern_in_log(std::string_view pattern)
{
    if (pattern.size() <= BriefKey::longest) return std::string(pattern);
    if (!rules::is_exact(pattern)) return rules::widened(pattern, BriefKey::longest);
    const std::string text = rules::unescape(pattern);
    return text.size() > BriefKey::longest ? key_in_log(text) : std::string(pattern);  // twice as long at most
}

void name_as_in_log(Record& record)
{
    for (std::string& key : record.keys)
        if (key.size() > BriefKey::longest) key = key_in_log(key);
    for (std::string& pattern : record.patterns)
        if (pattern.size() > BriefKey::longest) pattern = pattern_in_log(pattern);
}

}  // namespace larder::proxy
