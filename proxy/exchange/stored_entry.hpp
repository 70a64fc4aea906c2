// What is stored of a response: a new entry, one whose fields a 304 or a HEAD has renewed (RFC 9111 §3.2), a part, and
// what two parts make together (§3.3, §3.4).
#pragma once

#include <memory>

#include "proxy/exchange/exchange.hpp"
#include "proxy/store/entry.hpp"
#include "rules/base/appender.hpp"
#include "rules/http/range.hpp"
#include "rules/http/vary.hpp"

namespace larder::proxy {

/// An entry of the exchange's key with this head, and with room for a body of so many bytes.
std::shared_ptr<Entry> make_entry(const Exchange& exchange, const rules::StoredTimes& times, std::string_view head,
                                  std::size_t body_bytes = 0);

/// Ends a head that is stored, whose body has so many bytes.
void append_stored_length(std::string& head, int status, std::uint64_t body_bytes);
void append_stored_length(rules::Appender& out, int status, std::uint64_t body_bytes);

bool has_validator(const Entry& entry) noexcept;

/// For `Larder-Explain`: the lifetime of what is served, and who has given it. Judged anew, because entries do not say.
void note_lifetime(Exchange& exchange, const Entry& entry);

/// How long an entry is kept at all: its lifetime, the stale windows, and when it can be revalidated as long again. One
/// that is revalidated each time has no other use, and is kept for some minutes.
rules::WallTime hard_expiry(const rules::StoredTimes& times, bool has_validator);

struct Renewed {
    std::shared_ptr<Entry> entry;  // null: what is stored cannot be read
    rules::NotStored reason = rules::NotStored::none;
    rules::VarySpec vary;          // what the renewed fields vary by
    bool varies_as_before = true;  // by nothing that the stored ones did not
};
/// The stored response with the fields of a 304, or of a HEAD that describes it, judged anew (RFC 9111 §4.3.4, §4.3.5).
Renewed renew_entry(const Exchange& exchange, const EntryPtr& stored, const rules::Fields& update,
                    rules::WallTime requested, rules::WallTime received);

/// Are all the bytes that the request asks for in this part? A condition that does not hold wants the whole.
bool serves_part(const Exchange& exchange, const Entry& part);

/// Ends an entry that was made of a 206, whose body is complete now: joins it with `before`, when that is another part
/// of the same representation (the same strong entity tag), and makes a whole response of it when nothing is missing.
/// False: the body is not what Content-Range says, and must not be stored.
/// @param before      null: there is none
/// @param max_object  bytes; a joined body above it stays as it came
bool finish_part(Entry& entry, const Entry* before, std::uint64_t max_object);

}  // namespace larder::proxy
