#include "proxy/redis/acl.hpp"

namespace larder::proxy {

std::string sentinel_acl_text(std::string_view user)
{
    return "ACL SETUSER " + std::string(user) +
           " reset on >PASSWORD &+switch-master +ping +subscribe +sentinel|get-master-addr-by-name +sentinel|master";
}

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
        ":{*}:*"                                                           // the braces hold the shard
        " +ping +role +select +client|setname +info +time +eval +evalsha"  // connection, scripts
        " +get +mget +getrange +set +rename +unlink"                       // counter, entries
        " +xadd +xtrim +xrange +xrevrange"                                 // records
        " +zadd +zcard +zpopmin +zscore +zrangebyscore +zrevrange"         // long memory of patterns
        " +cluster|slots +cluster|info";                                   // who has which shard
    return out;
}

}  // namespace larder::proxy
