// Memory for the small objects that come with each request and go with it.
#pragma once

#include <boost/pool/pool.hpp>
#include <memory>
#include <new>
#include <utility>

namespace larder::proxy {

/// Makes objects of one kind, on one thread; their memory is used again, and kept until this ends. Outlives them. Under
/// AddressSanitizer each has memory of its own, so that a use after the end of one is found.
class Blocks {
  public:
    /// @param bytes  of an object
    explicit Blocks(std::size_t bytes) : pool_(bytes) {}
    Blocks(const Blocks&) = delete;
    Blocks& operator=(const Blocks&) = delete;

    template <class T>
    struct Back {
        Blocks* blocks;
        void operator()(T* object) const noexcept
        {
            object->~T();
            blocks->put_back(object);
        }
    };
    template <class T>
    using Ptr = std::unique_ptr<T, Back<T>>;

    template <class T, class... Args>
    Ptr<T> make(Args&&... args)
    {
        void* const place = take();
        try {
            return Ptr<T>(new (place) T(std::forward<Args>(args)...), {this});
        } catch (...) {
            put_back(place);
            throw;
        }
    }
    /// Of one that was released: it belongs to itself.
    template <class T>
    Ptr<T> own(T* object) noexcept
    {
        return Ptr<T>(object, {this});
    }

  private:
#ifdef __SANITIZE_ADDRESS__
    void* take() { return ::operator new(pool_.get_requested_size()); }
    void put_back(void* place) noexcept { ::operator delete(place); }
#else
    void* take()
    {
        if (void* const place = pool_.malloc()) return place;
        throw std::bad_alloc();
    }
    void put_back(void* place) noexcept { pool_.free(place); }
#endif

    boost::pool<> pool_;
};

}  // namespace larder::proxy
