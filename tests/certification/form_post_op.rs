//! Form Post OP: Basic OP with `response_mode=form_post`.

use crate::modules::each_module;
use crate::op::Mode;

each_module!(Mode::FormPost);
