// May what was freed be kept for the next of its kind?
#pragma once

namespace larder::proxy {

// AddressSanitizer is to find who uses something after its end: then nothing's memory is used again.
#if defined(__SANITIZE_ADDRESS__)
inline constexpr bool memory_is_used_again = false;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
inline constexpr bool memory_is_used_again = false;
#else
inline constexpr bool memory_is_used_again = true;
#endif
#else
inline constexpr bool memory_is_used_again = true;
#endif

}  // namespace larder::proxy
