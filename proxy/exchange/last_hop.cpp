#include "proxy/exchange/last_hop.hpp"

#include "proxy/exchange/forward.hpp"
#include "proxy/exchange/heads.hpp"
#include "proxy/exchange/refuse.hpp"
#include "rules/http/date.hpp"

namespace larder::proxy {

asio::awaitable<void> answer_as_last(Services& services, Client& client, ExchangePtr exchange)
{
    Forwarding(services, client, exchange).abandon();  // a body left unread would be taken for the next request
    exchange->count.outcome = rules::Outcome::served;
    constexpr std::string_view allow = "Allow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS\r\n";
    std::string out;
    if (exchange->head.method == rules::Method::trace) {
        append_problem(out, *exchange, 405, "max-forwards", "TRACE is not answered here", allow);
    } else {
        append_status_line(out, 200, "OK");
        ((out += "Date: ") += rules::format_date(exchange->now)) += "\r\n";
        out += allow;
        append_framing(out, {rules::BodyKind::length, 0}, *exchange);
        exchange->count.status = 200;
        exchange->answered = true;
    }
    client.put(out);
    if (client.blocked()) co_await client.flush();
}

}  // namespace larder::proxy
