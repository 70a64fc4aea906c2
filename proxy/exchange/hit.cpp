#include "proxy/exchange/hit.hpp"

#include <array>

#include "proxy/exchange/heads.hpp"
#include "proxy/exchange/refuse.hpp"
#include "rules/http/conditional.hpp"

namespace larder::proxy {

using rules::BodyKind;
using rules::FieldId;

namespace {

/// The fields of a stored head that a 304 repeats.
void append_not_modified_fields(std::string& out, std::string_view head)
{
    head.remove_prefix(std::min(head.size(), head.find("\r\n") + 2));
    while (!head.empty()) {
        const std::size_t end = head.find("\r\n");
        if (end == std::string_view::npos) break;
        const std::string_view line = head.substr(0, end + 2);
        head.remove_prefix(end + 2);
        if (rules::belongs_in_not_modified(rules::field_id(line.substr(0, line.find(':'))))) out += line;
    }
}

bool has_conditions(const rules::Fields& fields) noexcept
{
    for (const rules::Field& field : fields.all) {
        switch (field.id) {
        case FieldId::if_none_match:
        case FieldId::if_modified_since: return true;
        default: break;
        }
    }
    return false;
}

void append_cache_fields(std::string& out, const Exchange& exchange, rules::Milliseconds age)
{
    if (age.count() >= 0) {
        out += "Age: ";
        append_number(out, static_cast<std::uint64_t>(std::chrono::floor<rules::Seconds>(age).count()));
        out += "\r\n";
    }
    append_cache_status(out, exchange);
}

}  // namespace

std::string_view append_stored_answer(Services& services, Exchange& exchange, const Entry& entry,
                                      rules::Milliseconds age)
{
    std::string& out = services.out;
    if (services.draining) exchange.keep_alive = false;
    exchange.answered = true;
    exchange.count.status = entry.status;
    if (entry.status == 200 && has_conditions(exchange.head.fields)) {
        const auto precondition = rules::evaluate_preconditions(exchange.head.fields, entry.etag, entry.last_modified,
                                                                entry.date, exchange.now);
        if (precondition == rules::Precondition::not_modified) {
            exchange.count.status = 304;
            append_status_line(out, 304, reason_phrase(304));
            append_not_modified_fields(out, entry.head);
            append_cache_fields(out, exchange, age);
            append_framing(out, Framing{}, exchange);
            return {};
        }
    }
    out += entry.head;
    append_cache_fields(out, exchange, age);
    append_framing(out, Framing{}, exchange);  // Content-Length is in the stored head
    if (exchange.is_head()) return {};
    exchange.body_bytes = entry.body.size();
    return entry.body;
}

bool put_stored_answer(Services& services, Client& client, Exchange& exchange, const EntryPtr& entry,
                       rules::Milliseconds age)
{
    const std::string_view body = append_stored_answer(services, exchange, *entry, age);
    const std::array<iovec, 2> pieces{iovec{services.out.data(), services.out.size()},
                                      iovec{const_cast<char*>(body.data()), body.size()}};
    const bool there = client.put(pieces, entry);
    services.out.clear();
    return there;
}

}  // namespace larder::proxy
