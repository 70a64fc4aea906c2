#include "proxy/coherence/log_replies.hpp"

#include <algorithm>
#include <iterator>

#include "rules/base/text.hpp"

namespace larder::proxy {

namespace {

using rules::Milliseconds;

// "<position>-0"
std::optional<Position> position_of_id(std::string_view id)
{
    if (!id.ends_with("-0")) return std::nullopt;
    return rules::parse_digits(id.substr(0, id.size() - 2));
}

std::optional<RecordType> record_type(std::string_view text)
{
    if (text.size() != 1) return std::nullopt;
    switch (text[0]) {
    case 'P': return RecordType::prepare;
    case 'C': return RecordType::commit;
    case 'A': return RecordType::single;
    case 'I': return RecordType::init;
    default: return std::nullopt;
    }
}

}  // namespace

std::optional<Record> parse_record(Reply& reply)
{
    constexpr std::string_view names[] = {"v", "t", "w", "x"};
    if (!reply.is_array() || reply.elements.size() != 2) return std::nullopt;
    Reply& fields = reply.elements[1];
    if (!reply.elements[0].is_text() || !fields.is_array()) return std::nullopt;
    if (fields.elements.size() < 8 || fields.elements.size() % 2 != 0) return std::nullopt;
    for (std::size_t i = 0; i < std::size(names); ++i)
        if (fields.elements[2 * i].text != names[i]) return std::nullopt;

    const auto position = position_of_id(reply.elements[0].text);
    const auto previous = rules::parse_digits(fields.elements[1].text);
    const auto type = record_type(fields.elements[3].text);
    const auto life = rules::parse_digits(fields.elements[7].text);
    if (!position || !previous || !type || !life || *life > UINT32_MAX) return std::nullopt;
    Record record;
    record.position = *position;
    record.previous = *previous;
    record.type = *type;
    record.life = Milliseconds{static_cast<std::int64_t>(*life)};
    record.write_id = std::move(fields.elements[5].text);
    for (std::size_t i = 8; i < fields.elements.size(); i += 2) {
        const std::string& name = fields.elements[i].text;
        std::string& value = fields.elements[i + 1].text;
        if (name == "k")
            record.keys.push_back(std::move(value));
        else if (name == "p")
            record.patterns.push_back(std::move(value));
        else
            return std::nullopt;
    }
    return record;
}

std::string info_field(std::string_view text, std::string_view field)
{
    while (!text.empty()) {
        const std::string_view line = text.substr(0, text.find("\r\n"));
        if (line.starts_with(field)) return std::string(line.substr(field.size()));
        text.remove_prefix(std::min(text.size(), line.size() + 2));
    }
    return {};
}

}  // namespace larder::proxy
