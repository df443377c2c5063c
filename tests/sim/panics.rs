//! A panic anywhere in a seed fails it, also where the daemon would go on: they are heard here, by thread.

use std::cell::RefCell;
use std::sync::Once;

thread_local! {
    static HEARD: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// From now on panics are kept. What fails a test itself is still printed.
pub fn listen() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            before(panic);
            let line = format!("a panic: {panic}");
            // While a thread ends, there is nobody to tell.
            let _ = HEARD.try_with(|heard| heard.borrow_mut().push(line));
        }));
    });
}

/// What panicked on this thread since the last call.
pub fn take() -> Vec<String> {
    HEARD.with(|heard| std::mem::take(&mut *heard.borrow_mut()))
}
