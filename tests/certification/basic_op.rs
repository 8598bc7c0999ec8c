//! Basic OP.

use crate::modules::each_module;
use crate::op::Mode;

each_module!(Mode::Query);
