// The chunked coding: the same body however the bytes arrive, nothing beyond it, and no trailer that frames a message.
#include "rules/http/chunked.hpp"

#include <string>

#include "input.hpp"
#include "rules/http/fields.hpp"
#include "targets.hpp"

namespace larder::fuzz {

namespace {

using rules::ChunkedDecoder;
using Step = ChunkedDecoder::Step;

struct Decoded {
    std::string data;
    Step end = Step::need_more;
    std::size_t consumed = 0;
    std::string trailers;
};

/// @param next_size  how many bytes come with the next read
template <class NextSize>
Decoded decode(std::string_view input, ChunkedDecoder::Limits limits, NextSize next_size)
{
    ChunkedDecoder decoder(limits);
    Decoded decoded;
    while (decoded.consumed < input.size() && decoded.end == Step::need_more) {
        const ExactCopy read(input.substr(decoded.consumed, next_size()));
        std::string_view rest = read.view();
        for (;;) {
            std::string_view data;
            decoded.end = decoder.next(rest, data);
            expect(lies_in(rest, read.view()), "the input is used up from the front");
            if (decoded.end != Step::data) break;
            expect(!data.empty() && lies_in(data, read.view()), "data is part of what was read");
            decoded.data += data;
        }
        expect(decoded.end != Step::need_more || rest.empty(), "nothing is left when more is wanted");
        decoded.consumed += read.view().size() - rest.size();
    }
    if (decoded.end == Step::done) decoded.trailers = decoder.trailers();
    if (decoded.end != Step::need_more) {
        std::string_view more = "0\r\n\r\n", data;
        expect(decoder.next(more, data) == decoded.end && more.size() == 5, "an end is an end");
    }
    return decoded;
}

void check_with(std::string_view input, ChunkedDecoder::Limits limits)
{
    const Decoded whole = decode(input, limits, [&] { return input.size(); });
    Chance chance(hash_of(input));
    const Decoded bytes = decode(input, limits, [] { return std::size_t{1}; });
    const Decoded pieces = decode(input, limits, [&] { return 1 + chance.below(chance.one_in(3) ? 400 : 6); });
    for (const Decoded& other : {bytes, pieces}) {
        expect(whole.end == other.end, "it ends the same however it arrives");
        expect_same(whole.data, other.data, "it is the same body however it arrives");
        expect_same(whole.trailers, other.trailers, "it has the same trailers however it arrives");
        if (whole.end == Step::done) expect(whole.consumed == other.consumed, "it ends in the same place");
    }
    if (whole.end != Step::done) return;

    std::string_view lines = whole.trailers;
    std::string_view rest = lines;
    const rules::Fields trailers = take_fields(rest);
    std::size_t bytes_count = 0;
    for (const rules::Field& field : trailers.all) {
        bytes_count += field.name.size();
        expect(rules::is_token(field.name) && is_field_value(field.value), "a trailer is a field line");
        switch (field.id) {
        case rules::FieldId::content_length:
        case rules::FieldId::transfer_encoding:
        case rules::FieldId::host:
        case rules::FieldId::connection:
        case rules::FieldId::authorization:
        case rules::FieldId::set_cookie: expect(false, "a trailer that frames or routes is left out"); break;
        default: break;
        }
    }
    expect(rest.empty() && (lines.empty() || bytes_count > 0), "trailers are field lines and nothing else");
    expect(trailers.all.size() <= limits.trailer_count && lines.size() <= limits.trailer_bytes, "trailers are limited");

    std::string printed;
    if (!whole.data.empty()) {
        char size[20];
        std::snprintf(size, sizeof size, "%zX\r\n", whole.data.size());
        printed.append(size).append(whole.data).append("\r\n");
    }
    printed.append("0\r\n").append(whole.trailers).append("\r\n");
    const Decoded again = decode(printed, {}, [&] { return printed.size(); });
    expect(again.end == Step::done && again.consumed == printed.size(), "what was read is accepted as we write it");
    expect_same(again.data, whole.data, "a body is read back as it was");
    expect_same(again.trailers, whole.trailers, "trailers are read back as they were");
}

}  // namespace

void check_chunked(std::string_view input)
{
    check_with(input, {});
    check_with(input, {24, 30, 60, 3});
}

}  // namespace larder::fuzz
