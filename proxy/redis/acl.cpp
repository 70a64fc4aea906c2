#include "proxy/redis/acl.hpp"

namespace larder::proxy {

std::string acl_text(std::string_view prefix, std::string_view user)
{
    std::string out = "ACL SETUSER ";
    out.append(user).append(" reset on >PASSWORD ~");
    for (const char c : prefix) {
        // The prefix is text, a key pattern of Redis is a glob.
        if (c == '*' || c == '?' || c == '[' || c == ']' || c == '\\') out += '\\';
        out += c;
    }
    out +=
        ":{0}:*"
        " +ping +role +select +client|setname +info +time +eval +evalsha"  // connection, scripts
        " +get +mget +getrange +set +unlink"                               // counter, entries
        " +xadd +xtrim +xrange +xrevrange"                                 // records
        " +zadd +zcard +zpopmin +zscore +zrangebyscore +zrevrange";        // long memory of patterns
    return out;
}

}  // namespace larder::proxy
