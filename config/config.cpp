#include "config/config.hpp"

namespace larder::config {

std::string Endpoint::to_string() const
{
    if (!unix_path.empty()) return "unix:" + unix_path;
    const bool needs_brackets = host.find(':') != std::string::npos;
    return (needs_brackets ? "[" + host + "]" : host) + ":" + std::to_string(port);
}

}  // namespace larder::config
