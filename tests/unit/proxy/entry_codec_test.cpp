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

std::string stored(const Entry& entry) { return std::string{position_text} + encode_entry(entry); }

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
    CHECK(text.starts_with(
        "1763722000123456 larder/1 status=203 stored=1763722000123 age=2000 ttl=60000 swr=30000 sie=300000 "
        "flags=m expires=1763722600000 key=shop:/items/7:a%20b%252F rule=items head="));
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
            std::string cut = whole.substr(0, length);
            cut.shrink_to_fit();
            CHECK_FALSE(decode_entry(std::move(cut), entry->key, entry->variant));
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
                const auto decoded = decode_entry(changed, entry->key, entry->variant);
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
        " larder/1 status=200 stored=1 age=0 ttl=1 swr=0 sie=0 flags=- expires=2 key=k head=2 body=1";
    const Row rows[] = {
        {"another version", " larder/2" + good.substr(9), "\r\n\r\nb"},
        {"a status of four digits", " larder/1 status=2000" + good.substr(20), "\r\n\r\nb"},
        {"a status below 100", " larder/1 status=099" + good.substr(20), "\r\n\r\nb"},
        {"a negative number", " larder/1 status=200 stored=-1" + good.substr(29), "\r\n\r\nb"},
        {"a number beyond all times", " larder/1 status=200 stored=9999999999999999" + good.substr(29), "\r\n\r\nb"},
        {"a number beyond 64 bits", " larder/1 status=200 stored=99999999999999999999" + good.substr(29), "\r\n\r\nb"},
        {"an unknown field", good + " more=1", "\r\n\r\nb"},
        {"fields in another order", " larder/1 stored=1 status=200" + good.substr(29), "\r\n\r\nb"},
        {"a missing body length", good.substr(0, good.size() - 7), "\r\n\r\nb"},
        {"a body shorter than told", good, "\r\n\r\n"},
        {"a body longer than told", good, "\r\n\r\nbb"},
        {"no empty line after the head", good, "\r\nXYb"},
        {"a head whose last line does not end", good, "ab\r\nb"},
        {"lengths that wrap around", good.substr(0, good.size() - 6) + "body=18446744073709551615", "\r\n\r\nb"},
        {"an escape cut short", good.substr(0, good.find("key=k")) + "key=k%4 head=2 body=1", "\r\n\r\nb"},
        {"an unknown flag", good.substr(0, good.find("flags=-")) + "flags=z" + good.substr(good.find(" expires")),
         "\r\n\r\nb"},
        {"a flag twice", good.substr(0, good.find("flags=-")) + "flags=mm" + good.substr(good.find(" expires")),
         "\r\n\r\nb"},
    };
    const auto sealed = [](const std::string& line, const std::string& payload) {
        const auto sum = XXH3_64bits_withSeed(payload.data(), payload.size(), XXH3_64bits(line.data(), line.size()));
        std::array<char, 17> digits;
        std::snprintf(digits.data(), digits.size(), "%016llx", static_cast<unsigned long long>(sum));
        return std::string{position_text} + line + " xxh3=" + digits.data() + "\n" + payload;
    };
    CHECK(decode_entry(sealed(good, "\r\n\r\nb"), "k", ""));
    for (const Row& row : rows) {
        CAPTURE(row.why);
        CHECK_FALSE(decode_entry(sealed(row.line, row.payload), "k", ""));
    }
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
