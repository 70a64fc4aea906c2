#include "proxy/store/entry_codec.hpp"

#include <doctest/doctest.h>

#include <array>
#include <random>

#define XXH_INLINE_ALL
#include <xxhash.h>

using namespace larder;
using namespace larder::proxy;
using namespace std::chrono_literals;

namespace {

constexpr std::string_view position_text = "1763722000123456";

std::shared_ptr<Entry> response()
{
    auto entry = std::make_shared<Entry>();
    entry->key = "shop:/items/7:a b%2F";
    entry->status = 203;
    entry->times = {rules::WallTime{1'763'722'000'123ms}, 2s, 60s, 30s, 300s, true, false};
    entry->expires = rules::WallTime{1'763'722'600'000ms};
    entry->head =
        "HTTP/1.1 203 OK\r\nDate: Fri, 21 Nov 2025 10:46:40 GMT\r\nETAG:  \"v1\" \r\nContent-Length: 7\r\n"
        "last-modified: Thu, 20 Nov 2025 00:00:00 GMT\r\nETag: \"second\"\r\n";
    entry->set_body(std::string("a\0\r\n\nbc", 7));
    entry->rule = "items";
    return entry;
}

std::shared_ptr<Entry> index()
{
    auto entry = std::make_shared<Entry>();
    entry->key = "shop:/items/7";
    entry->kind = EntryKind::vary_index;
    entry->times.stored = rules::WallTime{1'763'722'000'123ms};
    entry->expires = rules::WallTime{1'763'722'600'000ms};
    entry->vary_names = {"accept-encoding", "x-a"};
    entry->variants = {"0123456789abcdef", "with, comma"};
    entry->generation = "g 1";
    entry->own_policy = "max-age=60, x=\"a b\"";
    return entry;
}

std::string stored(const Entry& entry) { return encode_entry(entry, 1763722000123456); }

}  // namespace

TEST_CASE("an entry comes back from its encoding as it was")
{
    const auto variant = response();
    variant->variant = "0123456789abcdef";
    variant->generation = "g1";
    variant->groups = {"{group}shop.test:sale", "{tag}a, b"};
    for (const auto& before : {response(), index(), variant, std::make_shared<Entry>()}) {
        CAPTURE(before->key);
        const auto after = decode_entry(stored(*before), before->key, before->variant);
        REQUIRE(after);
        CHECK(after->key == before->key);
        CHECK(after->variant == before->variant);
        CHECK(after->kind == before->kind);
        CHECK(after->status == before->status);
        CHECK(after->times.stored == before->times.stored);
        CHECK(after->times.initial_age == before->times.initial_age);
        CHECK(after->times.lifetime == before->times.lifetime);
        CHECK(after->times.stale_while_revalidate == before->times.stale_while_revalidate);
        CHECK(after->times.stale_if_error == before->times.stale_if_error);
        CHECK(after->times.must_revalidate == before->times.must_revalidate);
        CHECK(after->times.always_revalidate == before->times.always_revalidate);
        CHECK(after->expires == before->expires);
        CHECK(after->head == before->head);
        CHECK(after->body() == before->body());
        CHECK(after->vary_names == before->vary_names);
        CHECK(after->variants == before->variants);
        CHECK(after->generation == before->generation);
        CHECK(after->own_policy == before->own_policy);
        CHECK(after->rule == before->rule);
        CHECK(after->groups == before->groups);
        CHECK(after->position.load() == 1'763'722'000'123'456);
        CHECK(after->epoch == 0);
    }
}

TEST_CASE("an encoded entry is a line of metadata, the head, an empty line and the body, as a person would read it")
{
    const std::string text = stored(*response());
    CHECK(text.starts_with("1763722000123456 larder/2 xxh3="));
    CHECK(
        text.substr(47).starts_with(" status=203 flags=m-- stored=1763722000123 age=0000000002000 ttl=0000000060000 "
                                    "swr=0000000030000 sie=0000000300000 expires=1763722600000 head=000000149 "
                                    "body=000000007 key=shop:/items/7:a%20b%252F rule=items\nHTTP/1.1 203 OK\r\n"));
    CHECK(text.find("\nHTTP/1.1 203 OK\r\nDate: ") != text.npos);
    CHECK(text.find(" GMT\r\nETag: \"second\"\r\n\r\na") != text.npos);
}

TEST_CASE("a decoded entry knows its validators: the first of each, without outer white space, in any case")
{
    const auto entry = decode_entry(stored(*response()), response()->key, "");
    REQUIRE(entry);
    const Validators held = entry->validators();
    CHECK(held.etag == "\"v1\"");
    CHECK(held.last_modified == "Thu, 20 Nov 2025 00:00:00 GMT");
    CHECK(held.date == "Fri, 21 Nov 2025 10:46:40 GMT");
}

TEST_CASE("heads without a validator, or cut anywhere, are read without going past the end")
{
    const std::string head(response()->head);
    for (std::size_t length = 0; length <= head.size(); ++length) {
        Entry entry;
        entry.head = head.substr(0, length);
        const Validators held = entry.validators();
        for (std::string_view view : {held.etag, held.last_modified, held.date})
            CHECK((view.empty() || (view.data() >= entry.head.data() &&
                                    view.data() + view.size() <= entry.head.data() + entry.head.size())));
    }
}

TEST_CASE("an entry asked for under another key or variant decodes to null")
{
    const auto entry = index();
    CHECK(decode_entry(stored(*entry), "shop:/items/7", ""));
    CHECK_FALSE(decode_entry(stored(*entry), "shop:/items/8", ""));
    CHECK_FALSE(decode_entry(stored(*entry), "shop:/items/7", "0123456789abcdef"));
}

TEST_CASE("every truncation and every extension of an encoded entry decodes to null")
{
    for (const auto& entry : {response(), index()}) {
        const std::string whole = stored(*entry);
        for (std::size_t length = 0; length < whole.size(); ++length) {
            CAPTURE(length);
            // A copy of exactly that length, so that the sanitizer sees a byte read too far.
            auto cut = std::make_unique<char[]>(length);
            whole.copy(cut.get(), length);
            CHECK_FALSE(decode_entry(std::move(cut), length, entry->key, entry->variant));
        }
        CHECK_FALSE(decode_entry(whole + "x", entry->key, entry->variant));
    }
}

TEST_CASE("every change of one byte decodes to null, except one that makes another position of the sixteen digits")
{
    for (const auto& entry : {response(), index()}) {
        std::string changed = stored(*entry);
        for (std::size_t i = 0; i < changed.size(); ++i) {
            const char original = changed[i];
            for (int byte = 0; byte < 256; ++byte) {
                changed[i] = static_cast<char>(byte);
                if (changed[i] == original) continue;
                const auto decoded = decode_entry(std::string_view(changed), entry->key, entry->variant);
                const bool is_position = i < position_text.size() && byte >= '0' && byte <= '9';
                if (is_position == bool{decoded}) continue;
                FAIL("byte " << i << " changed to " << byte);
            }
            changed[i] = original;
        }
    }
}

TEST_CASE("a value with a right checksum over wrong metadata decodes to null")
{
    struct Row {
        const char* why;
        std::string line;
        std::string payload;
    };
    const std::string good =
        " status=200 flags=--- stored=0000000000001 age=0000000000000 ttl=0000000000001 "
        "swr=0000000000000 sie=0000000000000 expires=0000000000002 head=000000002 "
        "body=000000001 key=k";
    const std::string payload = "a\r\n\r\nb";
    const auto with = [](std::string line, std::string_view part, std::string_view other) {
        return line.replace(line.find(part), part.size(), other);
    };
    const std::string fits = with(good, "head=000000002", "head=000000003");
    const Row rows[] = {
        {"a status of four digits", with(fits, "status=200", "status=2000"), payload},
        {"a status below 100", with(fits, "status=200", "status=099"), payload},
        {"a status that is no number", with(fits, "status=200", "status=2x0"), payload},
        {"a negative number", with(fits, "stored=0", "stored=-"), payload},
        {"a number that is none", with(fits, "ttl=0000000000001", "ttl=00000x0000001"), payload},
        {"a number without its zeros", with(fits, "ttl=0000000000001", "ttl=1"), payload},
        {"an unknown field", fits + " more=1", payload},
        {"a field that is known in another place", fits + " groups=g rule=r", payload},
        {"fields in another order",
         with(fits, " age=0000000000000 ttl=0000000000001", " ttl=0000000000001 age=0000000000000"), payload},
        {"a missing body length", with(fits, " body=000000001", ""), payload},
        {"a body shorter than told", fits, "a\r\n\r\n"},
        {"a body longer than told", fits, payload + "b"},
        {"no empty line after the head", fits, "a\r\nXYb"},
        {"a head whose last line does not end", good, "ab\r\nb"},
        {"lengths beyond the value", with(fits, "body=000000001", "body=999999999"), payload},
        {"an escape cut short", with(fits, "key=k", "key=k%4"), payload},
        {"an unknown flag", with(fits, "flags=---", "flags=z--"), payload},
        {"a flag in another place", with(fits, "flags=---", "flags=-m-"), payload},
        {"an empty text", fits + " rule=", payload},
        {"a line of its own within a text", fits + " rule=a\nb", payload},
    };
    const auto sealed = [](const std::string& line, const std::string& payload_bytes, std::string_view version) {
        const std::string summed = line + '\n' + payload_bytes;
        std::array<char, 17> digits;
        std::snprintf(digits.data(), digits.size(), "%016llx",
                      static_cast<unsigned long long>(XXH3_64bits(summed.data(), summed.size())));
        return std::string{position_text}.append(version).append(" xxh3=").append(digits.data()).append(summed);
    };
    CHECK(decode_entry(sealed(fits, payload, " larder/2"), "k", ""));
    CHECK_FALSE(decode_entry(sealed(fits, payload, " larder/3"), "k", ""));
    for (const Row& row : rows) {
        CAPTURE(row.why);
        CHECK_FALSE(decode_entry(sealed(row.line, row.payload, " larder/2"), "k", ""));
    }
}

TEST_CASE("a value of another version is known as one, also when nothing else of it can be read")
{
    CHECK(is_of_other_version("1763722000123456 larder/1 status=200 stored=1"));
    CHECK(is_of_other_version("1763722000123456 larder/12 and something else"));
    CHECK_FALSE(is_of_other_version(stored(*response())));
    CHECK_FALSE(is_of_other_version("1763722000123456 larder/2 cut"));
    CHECK_FALSE(is_of_other_version("1763722000123456 larder/1"));
    CHECK_FALSE(is_of_other_version("{\"status\":200,\"body\":\"not ours at all\"}"));
    CHECK_FALSE(is_of_other_version(""));
}

TEST_CASE("an entry that keeps its value and one that keeps a copy of it are the same, and cost what they take")
{
    const std::string value = stored(*response());
    const auto copied = decode_entry(value, response()->key, "");
    auto block = std::make_unique<char[]>(value.size());
    value.copy(block.get(), value.size());
    const auto kept = decode_entry(std::move(block), value.size(), response()->key, "");
    REQUIRE(copied);
    REQUIRE(kept);
    CHECK(kept->head == copied->head);
    CHECK(kept->body() == copied->body());
    CHECK(copied->cost_bytes() > copied->body().size() + copied->head.size() + sizeof(Entry));
}

TEST_CASE("random bytes, and random splices of valid entries, never decode to anything")
{
    std::mt19937 random{7};
    const std::string valid = stored(*response());
    for (int round = 0; round < 20'000; ++round) {
        std::string bytes;
        if (round % 2) {
            bytes.resize(random() % 200);
            for (char& byte : bytes) byte = static_cast<char>(random());
        } else {
            bytes = valid.substr(0, random() % valid.size()) + valid.substr(random() % valid.size());
        }
        if (bytes == valid) continue;
        if (decode_entry(bytes, response()->key, "")) FAIL("decoded: " << bytes);
    }
}

TEST_CASE("a variant's storage key is the key, a newline and its digest; the digest is 32 hex digits")
{
    CHECK(storage_key("k", "") == "k");
    CHECK(storage_key("k", "0123456789abcdef") == "k\n0123456789abcdef");
    CHECK(variant_digest("gzip").size() == 32);
    CHECK(variant_digest("gzip").find_first_not_of("0123456789abcdef") == std::string::npos);
    CHECK(variant_digest("gzip") == variant_digest("gzip"));
    CHECK(variant_digest("gzip") != variant_digest("br"));
}
