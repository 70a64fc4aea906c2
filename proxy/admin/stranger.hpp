// Who may change something through the admin port: who shows the token or, where none is set, who is on this machine
// and is no browser that runs a page of somebody else.
#pragma once

#include <optional>
#include <string_view>

#include "config/config.hpp"
#include "proxy/admin/answer.hpp"
#include "rules/http/head.hpp"

namespace larder::proxy {

struct Refusal {
    bool is_site = false;    // a page of another site may have sent it; otherwise the token is missing or wrong
    AdminResponse response;  // 401 or 403, saying what to do
};

/// May this request change something? Empty: yes. The token's comparison takes as long for a wrong one as for the
/// right one.
///
/// Without a token, being on this machine is what counts, and a browser on it lends that to any page that it shows: by
/// a request across sites (`Origin`, and `Sec-Fetch-Site` of the Fetch Metadata draft, tell), or, after the page's name
/// was pointed at this machine, by one that looks like its own (Host tells: no name server has a say about an IP
/// address or `localhost`).
/// @param from_here  the connection comes from this machine, and that is enough where `admin:` is not on loopback
std::optional<Refusal> refuse_stranger(const rules::RequestHead& head, const config::Config& config,
                                       bool from_here = false);

}  // namespace larder::proxy
