// Questions about field lines: list values, hop-by-hop fields (RFC 9110 §5.6.1, §7.6.1).
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "rules/http/head.hpp"

namespace larder::rules {

/// Calls `visit(element)` for each non-empty element of a comma-separated list; commas inside quoted strings do not
/// split.
template <class Visit>
void for_each_element(std::string_view list, Visit visit);

/// True when any field line of that id has the token as a list element, in any case.
bool list_contains(const Fields& fields, FieldId id, std::string_view token) noexcept;

/// The first protocol of an Upgrade list that a tunnel may be opened for; empty: none. Not another HTTP (`h2c`,
/// `HTTP/2.0`), whose requests would go by unseen, and not TLS.
std::string_view upgrade_protocol(std::string_view list) noexcept;

/// Max-Forwards of an OPTIONS or TRACE (RFC 9110 §7.6.2): how often it may be forwarded yet. Empty: it does not say, or
/// no number, or the method is another.
bool is_max_forwards(std::string_view name) noexcept;
std::optional<std::uint64_t> forwards_left(const RequestHead& head) noexcept;

/// Is it a field by which a client could pretend that somebody else asks, or asks for something else: X-Forwarded-*,
/// X-Real-IP, X-Original-URL, X-HTTP-Method-Override and their like? With `_` for `-` too, and so is any field with a
/// meaning of its own (`Accept_Language`, `Content_Length`): some servers take the two for one. From clients that are
/// not trusted they are not passed on.
bool is_override(std::string_view name) noexcept;

/// All field lines of one name joined by ", " as RFC 9110 §5.3 allows.
std::string combined_value(const Fields& fields, FieldId id);
std::string combined_value(const Fields& fields, std::string_view name);

/// A field that must not travel past this hop: the fixed ones, and those that `Connection` names, except the ones a
/// message cannot do without or a standard protects (Host, Content-Length, Cache-Control, Authorization, Date, ...:
/// naming those is an attack, so the naming is ignored).
class HopByHop {
  public:
    explicit HopByHop(const Fields& fields);
    bool operator()(const Field& field) const noexcept;

    /// `Connection` names a field that is not hop-by-hop by itself: it will not reach the upstream, though a key or
    /// Vary may have counted on it. Such a request must not fill the cache.
    bool names_end_to_end_field() const noexcept { return !named_.empty(); }

  private:
    std::vector<std::string_view> named_;
};

// --- template definition ---
template <class Visit>
void for_each_element(std::string_view list, Visit visit)
{
    std::size_t start = 0;
    bool quoted = false;
    auto emit = [&](std::size_t end) {
        std::string_view element = list.substr(start, end - start);
        while (!element.empty() && (element.front() == ' ' || element.front() == '\t')) element.remove_prefix(1);
        while (!element.empty() && (element.back() == ' ' || element.back() == '\t')) element.remove_suffix(1);
        if (!element.empty()) visit(element);
    };
    for (std::size_t i = 0; i < list.size(); ++i) {
        if (quoted) {
            if (list[i] == '\\')
                ++i;
            else if (list[i] == '"')
                quoted = false;
        } else if (list[i] == '"') {
            quoted = true;
        } else if (list[i] == ',') {
            emit(i);
            start = i + 1;
        }
    }
    emit(list.size());
}

}  // namespace larder::rules
