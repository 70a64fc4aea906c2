#include "proxy/redis/redirect.hpp"

#include "rules/base/text.hpp"

namespace larder::proxy {

namespace {

std::string_view take_word(std::string_view& text)
{
    const std::string_view word = text.substr(0, text.find(' '));
    text.remove_prefix(std::min(text.size(), word.size() + 1));
    return word;
}

}  // namespace

Redirect read_redirect(std::string_view error)
{
    using Kind = Redirect::Kind;
    Redirect redirect;
    // A script repeats what a command in it was told, with words of its own around it.
    if (error.find("READONLY") != std::string_view::npos) {
        redirect.kind = Kind::replica;
        return redirect;
    }
    if (error.find("NOREPLICAS") != std::string_view::npos) {
        redirect.kind = Kind::too_few_replicas;
        return redirect;
    }
    const std::string_view word = take_word(error);
    if (word == "TRYAGAIN") redirect.kind = Kind::try_again;
    if (word == "CLUSTERDOWN") redirect.kind = Kind::cluster_down;
    if (word != "MOVED" && word != "ASK") return redirect;

    // "MOVED 3999 127.0.0.1:6381"; the address may be IPv6 without brackets, or only ":6381".
    const auto slot = rules::parse_digits(take_word(error));
    const std::string_view address = take_word(error);
    const std::size_t colon = address.rfind(':');
    if (!slot || *slot > 16'383 || colon == std::string_view::npos) return redirect;
    const auto port = rules::parse_digits(address.substr(colon + 1));
    if (!port || *port == 0 || *port > 65'535) return redirect;
    redirect.kind = word == "MOVED" ? Kind::moved : Kind::ask;
    redirect.slot = static_cast<unsigned>(*slot);
    redirect.to.host = address.substr(0, colon);
    redirect.to.port = static_cast<std::uint16_t>(*port);
    return redirect;
}

}  // namespace larder::proxy
